"""What `get` prints of each kind, as Kubernetes' server does: scripts read it by place and word."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from cubernetes.api.core.event import Event, EventSource, ObjectReference
from cubernetes.api.core.node import Node, NodeAddress, NodeSystemInfo
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.placement.spread import PodSchedulingGate
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.podstatus import (
    ContainerState,
    ContainerStatus,
    PodStatus,
    StateRunning,
    StateTerminated,
    StateWaiting,
)
from cubernetes.api.core.service import (
    LoadBalancer,
    LoadBalancerIngress,
    Service,
    ServiceStatus,
    ServiceType,
)
from cubernetes.api.meta import Object, replaced
from tests.given import NOW, a_condition, a_container, a_meta, a_node, a_pod, a_service

RUNNING = ContainerState(running=StateRunning())
DONE = ContainerState(terminated=StateTerminated(reason="Completed"))


def printed(one: Object) -> dict[str, str | int]:
    return {column.title: column.cell(one, NOW) for column in type(one).columns}


def in_states(*states: ContainerState, is_ready: bool = True) -> Pod:
    statuses = tuple(
        ContainerStatus(name=f"c{at}", image="i", state=state, ready=state.running is not None)
        for at, state in enumerate(states)
    )
    ready = a_condition("Ready", "True" if is_ready else "False")
    status = PodStatus(phase="Running", container_statuses=statuses, conditions=(ready,))
    return a_pod(containers=[a_container(f"c{at}") for at in range(len(states))], status=status)


@pytest.mark.parametrize(
    ("states", "is_ready", "told"),
    [
        ([RUNNING], True, "Running"),
        ([RUNNING, ContainerState(waiting=StateWaiting(reason="CrashLoopBackOff"))], False,
         "CrashLoopBackOff"),
        ([ContainerState(terminated=StateTerminated(exit_code=1, reason="Error")),
          ContainerState(waiting=StateWaiting(reason="CrashLoopBackOff"))], False, "Error"),
        ([ContainerState(terminated=StateTerminated(exit_code=3))], False, "ExitCode:3"),
        ([ContainerState(terminated=StateTerminated(signal=9))], False, "Signal:9"),
        ([DONE], False, "Completed"),
        ([DONE, RUNNING], True, "Running"),
        ([DONE, RUNNING], False, "NotReady"),
    ],
)  # fmt: skip
def test_a_pods_status_is_that_of_its_first_container_which_does_not_run(
    states: list[ContainerState], is_ready: bool, told: str
) -> None:
    assert printed(in_states(*states, is_ready=is_ready))["Status"] == told


def test_a_pod_with_gates_says_so_before_its_phase() -> None:
    gates = (PodSchedulingGate(name="example.com/wait"),)
    spec = PodSpec(containers=(a_container(),), scheduling_gates=gates)
    assert printed(a_pod(spec=spec))["Status"] == "SchedulingGated"


def test_restarts_say_how_long_ago_the_last_was() -> None:
    ended = StateTerminated(exit_code=1, finished_at=NOW - timedelta(seconds=125))
    earlier = StateTerminated(exit_code=1, finished_at=NOW - timedelta(hours=1))
    statuses = tuple(
        ContainerStatus(
            name=name, image="i", restart_count=2, last_state=ContainerState(terminated=end)
        )
        for name, end in (("a", earlier), ("b", ended))
    )
    assert printed(a_pod(status=PodStatus(container_statuses=statuses)))["Restarts"] == (
        "4 (2m5s ago)"
    )
    assert printed(a_pod(phase="Running"))["Restarts"] == 0


def test_the_columns_stand_where_scripts_expect_them() -> None:
    titles = {kind: [column.title for column in kind.columns] for kind in (Pod, Service, Node)}
    assert titles == {
        Pod: ["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node",
              "Readiness Gates"],
        Service: ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector"],
        Node: ["Name", "Status", "Roles", "Age", "Version", "Internal-IP", "External-IP",
               "OS-Image", "Kernel-Version", "Container-Runtime"],
    }  # fmt: skip


def test_a_node_shows_both_of_its_addresses_where_it_has_them() -> None:
    one = a_node("n1", address="10.0.0.1")
    outside = NodeAddress(type="ExternalIP", address="192.0.2.1")
    both = replaced(one, status=replaced(one.status, addresses=(*one.status.addresses, outside)))
    assert (printed(one)["Internal-IP"], printed(one)["External-IP"]) == ("10.0.0.1", "<none>")
    assert printed(both)["External-IP"] == "192.0.2.1"
    assert printed(a_service())["External-IP"] == "<none>"


def test_a_service_shows_where_it_is_reached_from_outside() -> None:
    def shown(kind: ServiceType, given: Sequence[LoadBalancerIngress] = (), **spec: Any) -> str:
        one = a_service()
        status = ServiceStatus(load_balancer=LoadBalancer(ingress=tuple(given)))
        typed = replaced(one, spec=replaced(one.spec, type=kind, **spec), status=status)
        return str(printed(typed)["External-IP"])

    assert shown("ExternalName", external_name="db.example.com") == "db.example.com"
    assert shown("ClusterIP", external_ips=("192.0.2.7",)) == "192.0.2.7"
    assert shown("LoadBalancer") == "<pending>"
    addresses = (LoadBalancerIngress(ip="192.0.2.1"), LoadBalancerIngress(hostname="lb.example"))
    assert shown("LoadBalancer", addresses) == "192.0.2.1,lb.example"


def test_a_node_shows_what_runs_there() -> None:
    info = NodeSystemInfo(
        kernel_version="6.1.0", os_image="Debian 13", container_runtime_version="docker://27.5.1",
        kubelet_version="v1.36.0",
    )  # fmt: skip
    one = a_node("n1")
    row = printed(replaced(one, status=replaced(one.status, node_info=info)))
    assert [row[title] for title in ("Version", "OS-Image", "Kernel-Version")] == [
        "v1.36.0", "Debian 13", "6.1.0",
    ]  # fmt: skip
    assert row["Container-Runtime"] == "docker://27.5.1"


def test_an_event_as_a_newer_client_writes_it_names_its_reporter_and_time_too() -> None:
    event = Event(
        metadata=a_meta("e", created_at=NOW), reporting_component="kubelet",
        reporting_instance="n1", event_time=NOW - timedelta(seconds=9),
    )  # fmt: skip
    row = printed(event)
    assert (row["Source"], row["First Seen"], row["Last Seen"]) == ("kubelet, n1", "9s", "9s")


def test_an_event_names_its_object_as_a_command_line_takes_it() -> None:
    event = Event(
        metadata=a_meta("web-0.1"),
        involved_object=ObjectReference(
            kind="Pod", namespace="default", name="web-0", field_path="spec.containers{main}"
        ),
        reason="Started",
        message=" started\n",
        source=EventSource(component="kubelet", host="n1"),
        first_timestamp=NOW - timedelta(minutes=30),
        last_timestamp=NOW - timedelta(seconds=5),
        count=3,
    )
    assert list(printed(event).items()) == [
        ("Last Seen", "5s"), ("Type", "Normal"), ("Reason", "Started"), ("Object", "pod/web-0"),
        ("Subobject", "spec.containers{main}"), ("Source", "kubelet, n1"), ("Message", "started"),
        ("First Seen", "30m"), ("Count", 3), ("Name", "web-0.1"),
    ]  # fmt: skip
