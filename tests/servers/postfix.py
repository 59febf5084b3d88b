"""Postfix as a submission server: STARTTLS required, AUTH PLAIN and LOGIN by Cyrus SASL's own password file.

Nothing of the machine is touched: configuration, queue, password file and mailboxes lie in the run's folder. Postfix
starts its processes as several users, so it needs root; it takes users that every Debian has. What is delivered for
any address lies in one Maildir.
"""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.certificates import Authority
from tests.servers import keeper
from tests.servers.programs import Program
from tests.servers.run_folder import PrivateProcess, RunFolder

OWNER, GROUP = "daemon", "games"
HOST, USER, PASSWORD = "localhost", "ada@mail.example", "p/w%ü"
REFUSED_DOMAIN = "refused.example"
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


class Postfix(PrivateProcess):
    """A Postfix of our own, running."""

    def __init__(self, run: RunFolder, program: Program) -> None:
        super().__init__(run, run.folder("postfix"))
        self._root = program.path.parents[4]
        self._libraries = program.environment
        self.authority = Authority(self._folder)
        self.port, self.plain_port = run.reserve_port(), run.reserve_port()
        """Ports for submission (TLS and a login), and for a relay that takes mail from this machine without both."""
        run.path.chmod(0o711)  # other users' processes have to get at their files below it
        self._configure(str(run.path))
        words = [str(program.path), "-c", str(self._configuration), "-d"]
        self.begin(words, program.environment, "postfix.log")
        self.wait_until("it answers", self._answers)

    @property
    def mails(self) -> list[bytes]:
        """Return all mails that were delivered."""
        return [path.read_bytes() for path in sorted((self._mailboxes / "inbox/new").glob("*"))]

    @property
    def _configuration(self) -> Path:
        return self._folder / "etc"

    @property
    def _mailboxes(self) -> Path:
        return self._folder / "mail"

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(3) == b"220"
        except OSError:
            return False

    def _configure(self, run_path: str) -> None:
        (self._configuration / "sasl").mkdir(parents=True)
        queue, data = self._folder / "queue", self._folder / "data"
        for folder in (queue, data, self._mailboxes, queue / "pid"):
            folder.mkdir()
        for name in (
            "active",
            "bounce",
            "corrupt",
            "defer",
            "deferred",
            "flush",
            "hold",
            "incoming",
            "private",
        ):
            self._own(queue / name, 0o700)
        for name, mode in (("saved", 0o700), ("trace", 0o700), ("public", 0o710), ("maildrop", 0o730)):
            self._own(queue / name, mode)
        shutil.chown(data, OWNER)
        shutil.chown(self._mailboxes, OWNER)
        settings = self._settings(run_path)
        (self._configuration / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in settings.items()))
        (self._configuration / "master.cf").write_text(
            MASTER.format(port=self.port, plain_port=self.plain_port)
        )
        self._set_password()

    def _own(self, folder: Path, mode: int) -> None:
        folder.mkdir()
        folder.chmod(mode)
        shutil.chown(folder, OWNER, GROUP)

    def _settings(self, run_path: str) -> dict[str, object]:
        owner, folder = pwd.getpwnam(OWNER), self._folder
        imported = {
            "MAIL_CONFIG": str(self._configuration),
            "SASL_PATH": ":".join(str(path) for path in (self._root / "usr/lib").glob("*/sasl2")),
            keeper.VARIABLE: run_path,
            **self._libraries,
        }
        certificate = self.authority.certificate(HOST)
        return {
            "compatibility_level": "3.6",
            "queue_directory": folder / "queue",
            "data_directory": folder / "data",
            "command_directory": self._root / "usr/sbin",
            "daemon_directory": self._root / "usr/lib/postfix/sbin",
            "shlib_directory": self._root / "usr/lib/postfix",
            "mail_owner": OWNER,
            "setgid_group": GROUP,
            "import_environment": " ".join(f"{name}={value}" for name, value in imported.items()),
            "maillog_file": folder / "mail.log",
            "maillog_file_prefixes": folder,
            "myhostname": "mail.example",
            "mydestination": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_path": "smtpd",
            "smtpd_sasl_local_domain": "mail.example",
            "smtpd_tls_security_level": "encrypt",
            "smtpd_tls_auth_only": "yes",
            "smtpd_tls_cert_file": certificate,
            "smtpd_tls_key_file": certificate,
            "smtpd_relay_restrictions": "permit_sasl_authenticated,reject",
            "smtpd_recipient_restrictions": (
                f"check_recipient_access inline:{{{{{REFUSED_DOMAIN}=550 5.1.1 no such user}}}}"
            ),
            "local_recipient_maps": "",
            "alias_maps": "",
            "virtual_mailbox_domains": "static:all",
            "virtual_mailbox_maps": "static:inbox/",
            "virtual_mailbox_base": self._mailboxes,
            "virtual_minimum_uid": owner.pw_uid,
            "virtual_uid_maps": f"static:{owner.pw_uid}",
            "virtual_gid_maps": f"static:{owner.pw_gid}",
        }

    def _set_password(self) -> None:
        database = self._folder / "sasldb2"
        (self._configuration / "sasl/smtpd.conf").write_text(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n"
            f"sasldb_path: {database}\n"
        )
        user, _, realm = USER.partition("@")
        words = [str(self._root / "usr/sbin/saslpasswd2"), "-p", "-c", "-f", str(database), "-u", realm, user]
        environment: Mapping[str, str] = {"PATH": os.defpath, **self._libraries}
        subprocess.run(words, input=PASSWORD.encode(), env=environment, check=True, capture_output=True)
        shutil.chown(database, OWNER)
