"""`amqps://`: the broker's certificate and host name are checked."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mailpact.amqp.errors import AccessRefused, BrokerUnreachable
from mailpact.amqp.supervisor import dial, hang_up
from mailpact.settings import AmqpUrl
from tests import command
from tests.certificates import Authority

TlsBroker = Callable[[Path], AbstractAsyncContextManager[int]]


@pytest.fixture
def over_tls(broker: Any) -> TlsBroker:
    """Serve the broker over TLS with a certificate; yield the port."""

    @asynccontextmanager
    async def serving(certificate: Path) -> AsyncIterator[int]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        carrying: set[asyncio.Task[None]] = set()

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while data := await reader.read(65536):
                    writer.write(data)
            except OSError:
                pass
            finally:
                writer.close()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            to_broker = await asyncio.open_connection("127.0.0.1", broker.port)
            for ends in ((reader, to_broker[1]), (to_broker[0], writer)):
                carrying.add(asyncio.create_task(pump(*ends)))

        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
        yield server.sockets[0].getsockname()[1]
        server.close()
        for task in carrying:
            task.cancel()
        if carrying:
            await asyncio.wait(carrying)

    return serving


def url(broker: Any, port: int, options: str, host: str = "127.0.0.1") -> AmqpUrl:
    return AmqpUrl.parse(f"amqps://{broker.login}@{host}:{port}{broker.path}?{options}")


async def test_a_certificate_of_the_named_authority_is_accepted(
    broker: Any, over_tls: TlsBroker, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    async with over_tls(authority.certificate("127.0.0.1")) as port:
        connection = await dial(url(broker, port, f"cafile={authority.ca_file}"), "test")
        channel = await connection.channel()
        await channel.queue_declare("over-tls")
        await hang_up(connection)


async def test_the_systems_authorities_may_be_replaced_by_ssl_cert_file(
    broker: Any, over_tls: TlsBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    async with over_tls(authority.certificate("127.0.0.1")) as port:
        await hang_up(await dial(url(broker, port, "heartbeat=10"), "test"))


@pytest.mark.parametrize(
    ("certified", "expired", "options"),
    [
        ("127.0.0.1", False, "heartbeat=10"),
        ("mq.example", False, "cafile={authority}"),
        ("127.0.0.1", True, "cafile={authority}"),
    ],
    ids=["unknown authority", "another host", "expired"],
)
async def test_a_certificate_that_cannot_be_verified_is_refused_and_named(
    certified: str, expired: bool, options: str, broker: Any, over_tls: TlsBroker, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    async with over_tls(authority.certificate(certified, ended=expired)) as port:
        with pytest.raises(AccessRefused, match=r"certificate is not trusted: .*certificate verify failed"):
            await dial(url(broker, port, options.format(authority=authority.ca_file)), "test")


async def test_a_command_says_in_one_line_that_the_certificate_has_expired(
    broker: Any, over_tls: TlsBroker, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    async with over_tls(authority.certificate("127.0.0.1", ended=True)) as port:
        broker_url = url(broker, port, f"cafile={authority.ca_file}").url
        done = await asyncio.to_thread(command.run, "topology", "apply", "--amqp-url", broker_url)

    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert "the broker's certificate is not trusted: " in line
    assert "certificate has expired" in line
    assert broker.login not in line


async def test_of_several_nodes_one_with_a_good_certificate_is_used(
    broker: Any, over_tls: TlsBroker, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    options = f"cafile={authority.ca_file}"
    async with (
        over_tls(authority.certificate("127.0.0.1", ended=True)) as expired,
        over_tls(authority.certificate("127.0.0.1")) as port,
    ):
        urls = [url(broker, each, options).url for each in (expired, port)]
        await hang_up(await dial(AmqpUrl.parse(",".join(urls)), "test"))


def test_a_file_that_holds_no_certificate_is_refused_with_the_options_name(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    broker_url = "amqps://u:s3cret@127.0.0.1:1/?cafile=ca.pem"
    done = command.run("topology", "apply", "--amqp-url", broker_url, cwd=tmp_path)

    assert done.returncode == 2
    assert "--amqp-url" in done.stderr
    assert "not a file with certificates" in " ".join(done.stderr.split())
    assert "s3cret" not in done.stderr


async def test_verification_is_off_only_if_the_url_says_so(
    broker: Any, over_tls: TlsBroker, tmp_path: Path
) -> None:
    async with over_tls(Authority(tmp_path).certificate("mq.example")) as port:
        with pytest.raises(AccessRefused):
            await dial(url(broker, port, "no_verify_ssl=0"), "test")
        await hang_up(await dial(url(broker, port, "no_verify_ssl=1"), "test"))


async def test_a_broker_without_tls_is_unreachable_over_tls(broker: Any) -> None:
    with pytest.raises(BrokerUnreachable):
        await dial(url(broker, broker.port, "heartbeat=10"), "test")
