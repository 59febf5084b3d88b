"""Postfix as a submission server: STARTTLS required, AUTH PLAIN and LOGIN by Cyrus SASL's own password file.

Configuration, queue, password file and mailboxes are in the run's folder; no other file of the machine changes.
Postfix starts its processes as several users, so Postfix needs root; the users exist on every Debian. One Maildir
holds the delivered mails of all addresses.
"""

import pwd
import shutil
from pathlib import Path

from tests.servers.packages import library_path
from tests.servers.run_folder import VARIABLE, PrivateProcess, RunFolder, greeting

OWNER, GROUP = "daemon", "games"
HOST, USER, PASSWORD = "localhost", "ada@mail.example", "p/w%ü"
REFUSED_DOMAIN = "refused.example"
QUEUE_FOLDERS = (
    "active bounce corrupt defer deferred flush hold incoming maildrop pid private public saved trace"
)
MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
127.0.0.1:{plain_port} inet n - n - - smtpd -o smtpd_tls_security_level=none -o smtpd_sasl_auth_enable=no
 -o smtpd_relay_restrictions=permit_mynetworks,reject -o mynetworks=127.0.0.0/8
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
virtual unix - n n - - virtual
error unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {root}/usr/lib/postfix/sbin
shlib_directory = {root}/usr/lib/postfix
mail_owner = {owner.pw_name}
setgid_group = {group}
import_environment = {environment}
maillog_file = /dev/stdout
myhostname = mail.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = mail.example
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {certificate}
smtpd_relay_restrictions = permit_sasl_authenticated,reject
smtpd_recipient_restrictions = check_recipient_access inline:{{{{{domain}=550 5.1.1 no such user}}}}
local_recipient_maps =
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:inbox/
virtual_mailbox_base = {folder}/mail
virtual_minimum_uid = {owner.pw_uid}
virtual_uid_maps = static:{owner.pw_uid}
virtual_gid_maps = static:{owner.pw_gid}
"""
SASL = "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: {}\n"


class Postfix(PrivateProcess):
    """A running Postfix of our own."""

    def __init__(self, run: RunFolder, root: Path) -> None:
        from tests.certificates import Authority  # slow to import, and most processes need no mail server

        super().__init__(run, "postfix")
        self.authority = Authority(self._folder)
        self.port, self.plain_port = run.reserve_port(), run.reserve_port()
        """Ports for submission (TLS and a login), and for a relay that takes mail from this machine without both."""
        run.path.chmod(0o711)  # processes of other users need their files in this folder
        for name in ("etc/sasl", "data", "mail", *(f"queue/{name}" for name in QUEUE_FOLDERS.split())):
            (self._folder / name).mkdir(parents=True)
            shutil.chown(self._folder / name, OWNER, GROUP)
        variables = library_path(root)
        self._configure(root, variables)
        master = f"{root}/usr/lib/postfix/sbin/master"
        self.begin([master, "-c", f"{self._folder}/etc", "-d"], variables)
        self.wait_until("it answers", lambda: greeting(self.port, length=3) == b"220")

    @property
    def mails(self) -> list[bytes]:
        """Return all mails that were delivered."""
        return [path.read_bytes() for path in sorted((self._folder / "mail/inbox/new").glob("*"))]

    def _configure(self, root: Path, variables: dict[str, str]) -> None:
        folder, users = self._folder, self._folder / "sasldb2"
        imported = {
            "MAIL_CONFIG": f"{folder}/etc",
            "SASL_PATH": ":".join(str(path) for path in (root / "usr/lib").glob("*/sasl2")),
            VARIABLE: str(self._run.path),
            **variables,
        }
        settings = MAIN.format(
            folder=folder,
            root=root,
            domain=REFUSED_DOMAIN,
            environment=" ".join(f"{name}={value}" for name, value in imported.items()),
            certificate=self.authority.certificate(HOST),
            owner=pwd.getpwnam(OWNER),
            group=GROUP,
        )
        (folder / "etc/main.cf").write_text(settings)
        services = MASTER.format(port=self.port, plain_port=self.plain_port)
        (folder / "etc/master.cf").write_text(services)
        (folder / "etc/sasl/smtpd.conf").write_text(SASL.format(users))
        user, _, realm = USER.partition("@")
        words = [f"{root}/usr/sbin/saslpasswd2", "-p", "-c", "-f", str(users), "-u", realm, user]
        self._run.call(words, variables, PASSWORD)
        shutil.chown(users, OWNER)
