"""Reports of several transports, as one."""

from dataclasses import asdict, fields

from signaling.transport import MediaReport, add

NOW = {"delay", "jitter", "remote_loss", "round_trip"}
"""What is so at the moment, and has no sum."""

REPORT = MediaReport(**{f.name: n for n, f in enumerate(fields(MediaReport), 1)})


def test_nothing_more() -> None:
    counts = {name: value for name, value in asdict(REPORT).items() if name not in NOW}
    for report in (add(REPORT, MediaReport()), add(MediaReport(), REPORT)):
        assert {n: v for n, v in asdict(report).items() if n not in NOW} == counts


def test_all_that_is_counted_adds_up_and_the_rest_is_left_out() -> None:
    twice, none = asdict(add(REPORT, REPORT)), asdict(MediaReport())
    for name, value in asdict(REPORT).items():
        assert twice[name] == (none[name] if name in NOW else 2 * value), name
