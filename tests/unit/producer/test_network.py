"""The network of a request's client, and which proxies are trusted to name it."""

import pytest

from mailpact.settings import SettingsError
from mailpact_producer.settings import parse_networks, parse_site_name
from mailpact_producer.web import network as reading
from mailpact_producer.web.network import client_network

TRUSTED = parse_networks("10.0.0.1, 192.168.0.0/16, ::1")


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_network_of_a_peer(peer: str | None, network: str) -> None:
    assert client_network(peer, (), TRUSTED) == network


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "network"),
    [
        ("203.0.113.77", ["198.51.100.1"], "203.0.113.0/24"),  # an unknown peer is not trusted
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.0/24"),
        (
            "10.0.0.1",
            ["1.2.3.4, 198.51.100.1"],
            "198.51.100.0/24",
        ),  # the client's own value comes first
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1, 192.168.7.7"], "198.51.100.0/24"),
        ("10.0.0.1", ["192.168.7.7"], "192.168.7.0/24"),
        ("::1", ["2001:db8::9"], "2001:db8::/64"),
        ("10.0.0.1", ["<script>"], "10.0.0.0/24"),
        ("10.0.0.1", ["1.2.3.4, "], "10.0.0.0/24"),
        ("10.0.0.1", [], "10.0.0.0/24"),
        ("10.0.0.2", ["1.2.3.4"], "10.0.0.0/24"),
    ],
)
def test_forwarded_address_is_believed_from_named_proxies_only(
    peer: str, forwarded_for: list[str], network: str
) -> None:
    assert client_network(peer, tuple(forwarded_for), TRUSTED) == network


@pytest.mark.parametrize("peer", ["203.0.113.77", "10.0.0.1"])
def test_header_that_anybody_can_send_is_not_kept(peer: str) -> None:
    """A site that kept 1,000 requests' headers would hold a gigabyte for one client."""
    reading._parsed.cache_clear()

    for number in range(100):
        long = tuple(f"{number}" * 4000 for _ in range(20))
        assert client_network(peer, long, TRUSTED) == client_network(peer, (), TRUSTED)

    assert reading._parsed.cache_info().currsize == 1  # the peer


@pytest.mark.parametrize("text", ["localhost", "10.0.0.1/33", "10.0.0.1/8", "1.2.3.4 5.6.7.8"])
def test_list_of_proxies_that_is_not_a_list_of_networks_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"127\.0\.0\.1"):
        parse_networks(text)


@pytest.mark.parametrize("text", ["", "  ", "Two\nlines", "x" * 101, "bell\a"])
def test_name_of_the_site_that_no_mail_could_carry_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="one line of 1 to 100 characters"):
        parse_site_name(text)


def test_name_of_the_site_may_be_in_any_language() -> None:
    assert parse_site_name(" Café Größe 咖啡 ") == "Café Größe 咖啡"
