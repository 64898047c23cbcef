"""`cubectl autoscale history` and `replay`, `cubectl why hpa/NAME`: sentences and pictures."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cubectl.verbs.scaling.picture import drawn, sparks
from cubernetes.api.autoscaling.history import AutoscalerHistory, Entry, Measured
from cubernetes.api.coding import codec
from tests.unit.cubectl.tinyserver import Said, TinyServer, run

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLACE = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/web/history"
POLICY = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {kind: Deployment, name: web}
  maxReplicas: 3
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 100}}}
"""


def entry(second: int, replicas: int, wanted: int, used: float, reason: str = "") -> Entry:
    cpu = Measured(
        metric="cpu", target=50, is_share=True, used=used, requested=100, ready=replicas,
        proposed=-int(-used // 50),
    )  # fmt: skip
    at = AT + timedelta(seconds=second)
    return Entry(at=at, replicas=replicas, wanted=wanted, minimum=1, maximum=4, reason=reason,
                 measured=(cpu,))  # fmt: skip


ENTRIES = [
    entry(0, 1, 1, 40, "AsWanted"),
    entry(10, 1, 4, 250, "TooManyReplicas"),
    entry(20, 4, 4, 60, "ScaleDownStabilized"),
    entry(30, 4, 4, 60, "ScaleDownStabilized"),
    entry(40, 4, 2, 60, "Rescaled"),
]


def said(line: str, entries: list[Entry] = ENTRIES) -> Said:
    server = TinyServer()
    tree: Any = codec.to_tree(AutoscalerHistory(entries=tuple(entries)))
    server.trees[PLACE] = tree
    return run(server, line)


def test_history_is_told_in_sentences_below_a_picture() -> None:
    lines = said("autoscale history web").out.splitlines()
    assert lines[0] == "HorizontalPodAutoscaler web: replicas"
    assert lines[1].startswith("    4 │")
    assert lines[1].count("█") > 20
    assert lines[-3:] == [
        "01-01 12:00:10  1 -> 4: cpu asks for 5: 250m of 1 pods, 250% of 100m each, wanted 50%;"
        " TooManyReplicas: there are never more than its maximum",
        "01-01 12:00:20  stays at 4: cpu asks for 2: 60m of 4 pods, 15% of 100m each, wanted 50%;"
        " ScaleDownStabilized: more was asked for within its window: the most of it counts",
        "01-01 12:00:40  4 -> 2: cpu asks for 2: 60m of 4 pods, 15% of 100m each, wanted 50%",
    ]


def test_why_is_the_last_entry_with_every_metric() -> None:
    lines = said("why hpa/web").out.splitlines()
    assert lines[0].startswith("HorizontalPodAutoscaler web wants 2: cpu asks for 2")
    assert lines[1] == "  between 1 and 4; looked at 12:00:40"


def test_another_policy_is_replayed_beside_what_was(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    path.write_text(POLICY)
    out = said(f"autoscale replay web --policy {path} --since 24h").out
    assert "recorded: 2 changes, at most 4" in out
    assert "replayed: 1 changes, at most 3" in out
    assert out.splitlines()[-1] == "01-01 12:00:10  1 -> 3"


def test_what_cannot_be_told_is_refused(tmp_path: Path) -> None:
    for line, entries, words in (
        ("autoscale history", ENTRIES, "name one autoscaler"),
        ("autoscale history web", [], "nothing is on record of hpa/web in the last 1h"),
        ("autoscale history pods/web", ENTRIES, "pods have no history"),
        ("autoscale replay web", ENTRIES, "--policy"),
        (f"autoscale replay web --policy {tmp_path}/none", ENTRIES, "No such file"),
        ("why hpa/web", [], "nothing is on record of hpa/web"),
        ("why pod", ENTRIES, "name one pod or autoscaler"),
    ):
        told = said(line, entries)
        assert told.code != 0, line
        assert words in told.err, line
    path = tmp_path / "new.yaml"
    path.write_text(POLICY.replace("name: cpu", "name: memory"))
    told = said(f"autoscale replay web --policy {path}")
    assert "nothing is on record of memory" in told.err


def test_a_picture_has_the_most_of_each_piece_of_time() -> None:
    times = [AT + timedelta(seconds=second) for second in range(4)]
    assert drawn(times, [1, 2, 2, 1], width=4)[:2] == ["    2 │ ██", "    1 │████"]
    assert drawn([], []) == []
    assert drawn(times, [40, 0, 0, 80], width=4)[0].strip() == "80 │   █"
    assert sparks(times, [0.0, 1.0, None, 9.0], width=4) == " ▄ █"
