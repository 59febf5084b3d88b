"""The breaker distinguishes a failure of the whole mail server from a failure of one message."""

from mailpact_consumer.breaker import Breaker


def test_trouble_of_the_server_opens_at_once_and_only_once() -> None:
    breaker = Breaker()

    opened = [breaker.server_trouble("refused", now, may_be_busy=False) for now in (1.0, 2.0)]

    assert opened == [True, False]
    assert (breaker.is_open, breaker.reason, breaker.since) == (True, "refused", 1.0)


def test_server_that_took_a_mail_just_now_and_refuses_a_further_connection_is_busy_and_not_away() -> None:
    breaker = Breaker()
    breaker.succeeded(10.0)

    assert not breaker.server_trouble("421 too many connections", 12.0, may_be_busy=True)
    assert breaker.server_trouble("421 too many connections", 15.0, may_be_busy=True)


def test_refused_login_opens_however_lately_a_mail_was_taken() -> None:
    breaker = Breaker()
    breaker.succeeded(10.0)

    assert breaker.server_trouble("535", 10.0, may_be_busy=False)


def test_one_recipient_who_is_always_answered_421_never_opens_it() -> None:
    breaker = Breaker()

    assert not any(breaker.doubtful_trouble("ada", "421", float(now)) for now in range(100))


def test_five_different_recipients_in_a_row_without_a_mail_open_it() -> None:
    breaker = Breaker()
    for name in "abcd":
        breaker.doubtful_trouble(name, "421", 1.0)
    breaker.succeeded(2.0)

    opened = [breaker.doubtful_trouble(name, "421", 3.0) for name in "abcde"]

    assert opened == [False] * 4 + [True]


def test_closed_again_it_counts_anew() -> None:
    breaker = Breaker()
    for name in "abcde":
        breaker.doubtful_trouble(name, "421", 1.0)

    breaker.close(2.0)

    assert (breaker.is_open, breaker.reason) == (False, "")
    assert not breaker.doubtful_trouble("f", "421", 2.0)


def test_server_that_answered_a_probe_just_now_and_refuses_a_further_connection_is_busy_and_not_away() -> (
    None
):
    breaker = Breaker()
    breaker.server_trouble("421 too many connections", 1.0, may_be_busy=True)
    breaker.close(10.0)

    assert not breaker.server_trouble("421 too many connections", 12.0, may_be_busy=True)
    assert breaker.server_trouble("421 too many connections", 15.0, may_be_busy=True)
