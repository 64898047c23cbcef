"""The table of `cuberoot net check`."""

from cubernetes.api.bodies.reach import PathReport, RateReport, ReachReport
from cuberoot.checks.net import table, told_rate, whole_ways

WHOLE = PathReport(to="n2", address="192.0.2.2", node_ms=0.3, pods_ms=0.45, pods_mtu=1450)


def test_each_way_has_a_line_and_what_is_bad_is_counted() -> None:
    cut = PathReport(to="n1", address="192.0.2.1", blocked="UDP 8472 is dropped")
    answers: dict[str, ReachReport | str] = {}
    answers |= {"n2": ReachReport(paths=(cut,)), "n1": ReachReport(paths=(WHOLE,)), "n3": "is away"}
    lines, bad = table(answers)

    assert bad == 2
    assert [line.split() for line in lines] == [
        ["FROM", "TO", "NODE", "ms", "PODS", "ms", "PODS", "MTU", "BLOCKED"],
        ["n1", "n2", "0.30", "0.45", "1450", "no"],
        ["n2", "n1", "-", "-", "-", "UDP", "8472", "is", "dropped"],
        ["n3", "*", "-", "-", "-", "is", "away"],
    ]


def test_throughput_has_a_column_where_it_was_asked_for() -> None:
    back = PathReport(to="n1", address="192.0.2.1", node_ms=0.2, pods_ms=0.3, pods_mtu=1450)
    cut = PathReport(to="n3", address="192.0.2.3", blocked="silence")
    answers: dict[str, ReachReport | str] = {}
    answers |= {"n1": ReachReport(paths=(WHOLE, cut)), "n2": ReachReport(paths=(back,))}
    assert whole_ways(answers) == [("n1", "n2"), ("n2", "n1")]
    lines, bad = table(answers, {("n1", "n2"): "941", ("n2", "n1"): "late"})

    assert bad == 2
    assert [line.split() for line in lines] == [
        ["FROM", "TO", "NODE", "ms", "PODS", "ms", "PODS", "MTU", "Mbit/s", "BLOCKED"],
        ["n1", "n2", "0.30", "0.45", "1450", "941", "no"],
        ["n1", "n3", "-", "-", "-", "-", "silence"],
        ["n2", "n1", "0.20", "0.30", "1450", "-", "throughput:", "late"],
    ]


def test_a_rate_is_what_arrived_in_megabits_a_second() -> None:
    assert told_rate(RateReport(got_bytes=125_000_000, span_s=2.0)) == "500"
    assert told_rate(RateReport(why="refused")) == "refused"
    assert told_rate(RateReport()) == "nothing arrived"
