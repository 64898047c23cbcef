"""The table of `cuberoot net check`."""

from cubernetes.api.bodies.reach import PathReport, ReachReport
from cuberoot.checks.net import table


def test_each_way_has_a_line_and_what_is_bad_is_counted() -> None:
    whole = PathReport(to="n2", address="192.0.2.2", node_ms=0.3, pods_ms=0.45, pods_mtu=1450)
    cut = PathReport(to="n1", address="192.0.2.1", blocked="UDP 8472 is dropped")
    answers: dict[str, ReachReport | str] = {}
    answers |= {"n2": ReachReport(paths=(cut,)), "n1": ReachReport(paths=(whole,)), "n3": "is away"}
    lines, bad = table(answers)

    assert bad == 2
    assert [line.split() for line in lines] == [
        ["FROM", "TO", "NODE", "ms", "PODS", "ms", "PODS", "MTU", "BLOCKED"],
        ["n1", "n2", "0.30", "0.45", "1450", "no"],
        ["n2", "n1", "-", "-", "-", "UDP", "8472", "is", "dropped"],
        ["n3", "*", "-", "-", "-", "is", "away"],
    ]
