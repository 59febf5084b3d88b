from mailpact_devbroker.status import Rates


def test_rates_are_per_second_over_the_last_samples(bench):
    bench.queue("q")
    rates = Rates()
    rates.sample(bench.broker, 10.0)
    for _ in range(8):
        bench.publish(b"m", "q")

    rates.sample(bench.broker, 12.0)

    assert rates.of("q") == {"published": 4.0, "delivered": 0.0, "acknowledged": 0.0, "returned": 0.0}


def test_a_queue_that_was_seen_once_has_no_rate_yet(bench):
    bench.queue("q")
    rates = Rates()
    rates.sample(bench.broker, 10.0)

    assert rates.of("q")["published"] == 0.0
    assert rates.of("unknown") == {}


def test_rates_forget_what_is_long_ago(bench):
    bench.queue("q")
    rates = Rates()
    rates.sample(bench.broker, 0.0)
    bench.publish(b"m", "q")
    for second in range(1, 7):
        rates.sample(bench.broker, float(second))

    assert rates.of("q")["published"] == 0.0
