"""Frequent events are one log line per minute with their number."""

from mailpact_producer.reports import Reports


def test_second_event_of_a_minute_is_counted_and_not_logged() -> None:
    reports = Reports()

    due = [reports.due("full", now) for now in (0.0, 1.0, 59.0, 60.0, 61.0)]

    assert due == [0, None, None, 2, None]


def test_kinds_of_event_do_not_hide_each_other() -> None:
    reports = Reports()

    assert [reports.due(kind, 0.0) for kind in ("full", "broken")] == [0, 0]
