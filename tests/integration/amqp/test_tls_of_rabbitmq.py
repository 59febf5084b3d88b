"""TLS with RabbitMQ: a certificate is renewed while the node runs."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailpact.amqp.errors import AccessRefused
from mailpact.amqp.supervisor import dial, hang_up
from mailpact.settings import AmqpUrl
from tests.certificates import Authority
from tests.servers.rabbitmq import USER, Rabbitmq
from tests.servers.where import Servers

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

Serving = Callable[[Path], str]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority that the client trusts."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def serve(servers: Servers, authority: Authority, rabbitmq: object) -> Iterator[Serving]:
    """Yield a function that lets a private node serve a certificate and returns the node's URL without options."""
    port = servers.run.reserve_port()
    served = authority.ca_file.with_name("served.pem")
    shutil.copy(authority.certificate("127.0.0.1"), served)
    settings = (
        f"listeners.ssl.1 = 127.0.0.1:{port}",
        f"ssl_options.cacertfile = {authority.ca_file}",
        f"ssl_options.certfile = {served}",
        f"ssl_options.keyfile = {served}",
        "ssl_options.verify = verify_none",
    )
    node = Rabbitmq(servers.run, servers.root("rabbitmq"), settings=settings)

    def serving(certificate: Path) -> str:
        shutil.copy(certificate, served)
        node.call("ssl:clear_pem_cache()")
        return f"amqps://{USER}:{node.password}@127.0.0.1:{port}/"

    yield serving
    node.kill()


async def test_a_renewed_certificate_is_taken_without_a_restart_of_either_side(
    serve: Serving, authority: Authority
) -> None:
    options = f"?cafile={authority.ca_file}"
    with pytest.raises(AccessRefused, match="certificate has expired"):
        await dial(AmqpUrl.parse(serve(authority.certificate("127.0.0.1", ended=True)) + options), "test")

    await hang_up(await dial(AmqpUrl.parse(serve(authority.certificate("127.0.0.1")) + options), "test"))


async def test_a_certificate_of_another_host_is_refused(serve: Serving, authority: Authority) -> None:
    url = serve(authority.certificate("mq.example"))

    with pytest.raises(AccessRefused, match=r"certificate is not trusted: .*IP address mismatch"):
        await dial(AmqpUrl.parse(f"{url}?cafile={authority.ca_file}"), "test")


async def test_a_certificate_of_an_unknown_authority_is_refused(serve: Serving, authority: Authority) -> None:
    url = serve(authority.certificate("127.0.0.1"))

    with pytest.raises(AccessRefused, match=r"certificate is not trusted: .*certificate verify failed"):
        await dial(AmqpUrl.parse(f"{url}?heartbeat=10"), "test")
