"""`cubectl why pod`: what each node says, grouped, and what would be; nothing is changed."""

import shlex

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Taint
from cubernetes.api.core.podspec.placement.spread import PodSchedulingGate
from cubernetes.api.core.podspec.toleration import Toleration
from cubernetes.api.meta import replaced
from tests.given import a_meta, a_node, a_pod
from tests.unit.cubectl import tinyserver
from tests.unit.cubectl.tinyserver import Said, TinyServer

GPU = Taint(key="gpu", value="yes", effect="NoSchedule")
HUGE = """\
default/huge waits for default-scheduler
now: no node takes it, of 3
  2 by resources: Insufficient cpu: needs 6000m, has 4000m free: n1, n3
  1 by ready: is cordoned: n3
  1 by resources: Insufficient cpu: needs 6000m, has 3000m free: n2
  1 by taints: has the taint gpu=yes:NoSchedule: n2
"""


def run(server: TinyServer, line: str) -> Said:
    return tinyserver.run(server, shlex.split(line))


@pytest.fixture
def server() -> TinyServer:
    cordoned = a_node("n3")
    gated = a_pod("gated")
    gates = (PodSchedulingGate(name="a"), PodSchedulingGate(name="b"))
    return TinyServer(
        a_node("n1"),
        a_node("n2", taints=[GPU]),
        replaced(cordoned, spec=replaced(cordoned.spec, unschedulable=True)),
        a_pod("there", node="n2", cpu="1", phase="Running"),
        a_pod("huge", cpu="6"),
        replaced(gated, spec=replaced(gated.spec, scheduling_gates=gates)),
        a_pod("over", node="n1", cpu="4", phase="Succeeded"),
        Namespace(metadata=a_meta("default", "")),
    )


def test_each_node_says_all_that_is_against_a_pod_grouped_by_reason(server: TinyServer) -> None:
    assert run(server, "why pod huge").out == HUGE


@pytest.mark.parametrize(
    ("suppositions", "told"),
    [
        (["node +2cpu"], "if node +2cpu: n1 takes it; 1 of 3 nodes can: n1"),
        (["node n1 +1cpu"], "if node n1 +1cpu: no node takes it, of 3"),
        (["node n1 +1500mcpu", "node n1 +500mcpu"],
         "if node n1 +1500mcpu, node n1 +500mcpu: n1 takes it; 1 of 3 nodes can: n1"),
        (["node +3cpu", "untaint n2 gpu", "uncordon n3"],
         "if node +3cpu, untaint n2 gpu, uncordon n3: n3 takes it; 3 of 3 nodes can: n1, n2, n3"),
        (["node n2 +2cpu", "untaint n2 gpu", "delete there"],
         "if node n2 +2cpu, untaint n2 gpu, delete there: n2 takes it; 1 of 3 nodes can: n2"),
    ],
)  # fmt: skip
def test_what_would_be_is_told_after_what_is_and_nothing_is_written(
    server: TinyServer, suppositions: list[str], told: str
) -> None:
    words = "".join(f" --if '{one}'" for one in suppositions)

    said = run(server, f"why pod huge{words}").out

    assert said.startswith(HUGE)
    assert said.removeprefix(HUGE).splitlines()[0] == told
    assert server.writes == []


@pytest.mark.parametrize(
    ("supposition", "told"),
    [
        ("node", "must be one of: node [NAME] +4cpu"),
        ("node n1 n2 +1cpu", "must be one of"),
        ("untaint n2", "must be one of"),
        ("paint n2 red", "must be one of"),
        ("node +4", "'+4' must be such as +4cpu, +8Gimemory"),
        ("node +4Qcpu", "'+4Qcpu' must be such as"),
        ("uncordon n9", "there is no node n9"),
        ("delete nobody", "there is no pod default/nobody"),
    ],
)
def test_a_supposition_that_is_none_is_refused_with_the_forms_that_there_are(
    server: TinyServer, supposition: str, told: str
) -> None:
    said = run(server, f"why pod huge --if '{supposition}'")
    assert said.code == 2
    assert told in said.err
    assert said.out == ""


def test_a_pod_that_has_a_node_is_asked_about_as_if_it_had_none(server: TinyServer) -> None:
    first, second, *_ = run(server, "why pod there").out.splitlines()
    assert first == "default/there is on n2; without a node it would be decided so:"
    assert second == "now: n1 takes it; 1 of 3 nodes can: n1"


def test_gates_and_an_end_are_told_before_all_nodes(server: TinyServer) -> None:
    told = "default/gated is held back by its scheduling gates: a, b"
    assert run(server, "why pod gated").out.splitlines()[0] == told
    assert "default/over has finished" in run(server, "why pod over").err


def test_who_would_leave_for_a_pod_that_matters_more_is_told(server: TinyServer) -> None:
    important = a_pod("important", cpu="4")
    spec = replaced(
        important.spec, priority=10, tolerations=(Toleration(key="gpu", operator="Exists"),)
    )
    server.keep(codec.to_tree(replaced(important, spec=spec)))
    server.keep(codec.to_tree(a_pod("full", node="n1", cpu="1", phase="Running")))
    told = run(server, "why pod important").out.splitlines()
    assert told[1:3] == [
        "now: no node takes it, of 3",
        "  n1 would, in the place of default/full",
    ]

    patient = replaced(spec, preemption_policy="Never")
    server.keep(codec.to_tree(replaced(important, spec=patient)))
    assert "in the place of" not in run(server, "why pod important").out


def test_memory_pods_labels_and_devices_may_be_supposed(server: TinyServer) -> None:
    selected = a_pod("choosy", memory="9Gi", node_selector={"disk": "ssd"})
    server.keep(codec.to_tree(selected))
    line = "why pod choosy --if 'node n1 +2Gimemory +1pods +1a.b/gpu' --if 'label n1 disk=ssd'"
    assert "n1 takes it; 1 of 3 nodes can: n1" in run(server, line).out
