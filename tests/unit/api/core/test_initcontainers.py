"""What init containers and sidecars may have, what they cost, and what is shown of them."""

import pytest

from controllers.endpoints import ports_of
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container, ContainerPort, EnvVar, VolumeMount
from cubernetes.api.core.podspec.envsource import (
    ConfigMapEnvSource,
    EnvFromSource,
    EnvVarSource,
    SecretKeySelector,
)
from cubernetes.api.core.podspec.hostport import HostPort, host_ports
from cubernetes.api.core.podspec.probes.actions import SleepAction, TCPSocketAction
from cubernetes.api.core.podspec.probes.probe import Lifecycle, LifecycleHandler, Probe
from cubernetes.api.core.podspec.qos import oom_score_adj, qos_of
from cubernetes.api.core.podspec.references import Named, named_by
from cubernetes.api.core.podspec.requests import requested
from cubernetes.api.core.podspec.rules import spec_problems
from cubernetes.api.core.podspec.security.context import SecurityContext
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.podstatus import (
    ContainerState,
    ContainerStatus,
    PodStatus,
    StateRunning,
    StateTerminated,
    StateWaiting,
)
from cubernetes.api.core.service import ServicePort
from cubernetes.api.meta import Object, replaced
from kubelet.ports.hostports import leads_of
from tests.given import NOW, a_condition, a_container, a_pod, a_service

PROBE = Probe(tcp_socket=TCPSocketAction(port=80))
HOOKS = Lifecycle(pre_stop=LifecycleHandler(sleep=SleepAction(seconds=1)))
ONLY_SIDECARS = "may not be set for init containers without restartPolicy=Always"


def lasting(one: Container) -> Container:
    return replaced(one, restart_policy="Always")


def a_spec(*inits: Container, main: Container | None = None) -> PodSpec:
    return PodSpec(init_containers=inits, containers=(main or a_container(),))


def problems_of(spec: PodSpec) -> dict[str, str]:
    return {one.field: one.message for one in spec_problems(spec, "spec")}


@pytest.mark.parametrize(
    "part", ["lifecycle", "liveness_probe", "readiness_probe", "startup_probe"]
)
def test_probes_and_hooks_are_for_init_containers_that_run_on(part: str) -> None:
    one = replaced(a_container("first"), **{part: HOOKS if part == "lifecycle" else PROBE})
    head, _, rest = part.partition("_")

    field = f"spec.initContainers[0].{head}{rest.capitalize()}"
    assert problems_of(a_spec(one)) == {field: ONLY_SIDECARS}
    assert problems_of(a_spec(lasting(one))) == {}


def test_every_rule_of_containers_is_one_of_init_containers() -> None:
    broken = Container(
        name="No",
        image="a b",
        working_dir="/proc/self",
        volume_mounts=(VolumeMount(name="none", mount_path="/"),),
        env=(EnvVar(name="1"),),
        security_context=SecurityContext(privileged=True, allow_privilege_escalation=False),
        liveness_probe=replaced(PROBE, success_threshold=2),
    )
    of_inits = problems_of(a_spec(lasting(broken)))
    of_others = problems_of(a_spec(main=broken))

    assert len(of_others) == 8
    assert of_inits == {
        field.replace("containers", "initContainers"): text for field, text in of_others.items()
    }


def test_a_container_that_is_no_init_container_has_no_policy_of_its_own() -> None:
    found = problems_of(a_spec(main=lasting(a_container())))

    assert found == {"spec.containers[0].restartPolicy": "may not be set for non-init containers"}


def test_names_are_unique_among_all_containers_of_a_pod() -> None:
    found = problems_of(a_spec(a_container("main")))

    assert found == {"spec.containers": "name 'main' is used 2 times"}


# As `TestPodRequestsAndLimits` of Kubernetes' API helpers has it.
@pytest.mark.parametrize(
    ("inits", "main", "milli"),
    [
        ([("100m", False)], "500m", 500),
        ([("900m", False), ("700m", False)], "500m", 900),
        ([], "200m", 200),
        ([("100m", False)], "", 100),
        ([("100m", True)], "500m", 600),
        ([("100m", True), ("900m", False)], "500m", 1000),
        ([("900m", False), ("100m", True)], "500m", 900),
        ([("100m", True), ("300m", True), ("200m", False)], "100m", 600),
        ([("", True)], "", 0),
    ],
)
def test_a_pod_requests_what_its_greediest_moment_does(
    inits: list[tuple[str, bool]], main: str, milli: int
) -> None:
    made = [
        replaced(a_container(f"i{at}", cpu=cpu), restart_policy="Always" if is_lasting else None)
        for at, (cpu, is_lasting) in enumerate(inits)
    ]
    spec = a_spec(*made, main=a_container(cpu=main))

    assert requested(spec) == ({"cpu": milli} if milli else {})


def test_init_containers_count_for_the_quality_of_service() -> None:
    assert qos_of(a_spec(a_container("first", cpu="1"))) == "Burstable"
    assert qos_of(a_spec(a_container("first"))) == "BestEffort"


def test_a_sidecar_is_not_ended_before_the_container_that_it_serves() -> None:
    small, main = a_container("side", memory="1Mi"), a_container(memory="512Mi")
    spec = a_spec(lasting(small), main=main)
    node_bytes = 1 << 30

    assert oom_score_adj(spec, main, node_bytes) == 500
    assert oom_score_adj(spec, spec.init_containers[0], node_bytes) == 500
    assert oom_score_adj(a_spec(small, main=main), small, node_bytes) == 999


def test_a_node_may_read_what_an_init_container_names() -> None:
    ref = SecretKeySelector(name="login", key="key")
    first = replaced(
        a_container("first"),
        env=(EnvVar(name="KEY", value_from=EnvVarSource(secret_key_ref=ref)),),
        env_from=(EnvFromSource(config_map_ref=ConfigMapEnvSource(name="settings")),),
    )

    assert named_by(a_spec(first)) == {Named("Secret", "login"), Named("ConfigMap", "settings")}


def test_the_ports_of_a_sidecar_are_the_pods_and_those_of_other_init_containers_are_not() -> None:
    port = ContainerPort(name="http", container_port=80, host_port=8080)
    side = a_container("side", ports=(port,))
    service = a_service(ports=(ServicePort(port=80, target_port="http"),))

    for spec, count in ((a_spec(lasting(side)), 1), (a_spec(side), 0)):
        pod = a_pod(spec=spec)
        assert host_ports(spec) == (HostPort("TCP", 8080),) * count
        assert len(leads_of(pod, "10.244.1.2")) == count
        assert len(ports_of(service, pod)) == count


def test_two_that_run_side_by_side_cannot_have_one_port_of_the_node() -> None:
    port = ContainerPort(container_port=80, host_port=8080)
    side, main = a_container("side", ports=(port,)), a_container(ports=(port,))

    assert list(problems_of(a_spec(lasting(side), main=main))) == ["spec.containers"]
    assert problems_of(a_spec(side, main=main)) == {}


RUNS = ContainerState(running=StateRunning(started_at=NOW))


def ends_with(code: int, reason: str = "") -> ContainerState:
    return ContainerState(terminated=StateTerminated(exit_code=code, reason=reason))


def waits(reason: str) -> ContainerState:
    return ContainerState(waiting=StateWaiting(reason=reason))


def printed(pod: Object) -> dict[str, object]:
    return {one.title: one.cell(pod, NOW) for one in pod.columns}


def shown(*states: ContainerState, is_lasting: bool = False, is_started: bool = False) -> Pod:
    """Return a pod whose first init containers are in these states; there are two of them."""
    inits = [a_container("one"), a_container("two")]
    if is_lasting:
        inits[0] = lasting(inits[0])
    statuses = tuple(
        ContainerStatus(
            name=one.name, state=state, started=is_started, ready=is_started, restart_count=2
        )
        for one, state in zip(inits, states, strict=False)
    )
    main = ContainerStatus(name="main", state=waits("PodInitializing"))
    status = PodStatus(init_container_statuses=statuses, container_statuses=(main,))
    return a_pod(spec=a_spec(*inits), status=status)


# Rows of Kubernetes' own table: pkg/printers/internalversion/printers_test.go.
@pytest.mark.parametrize(
    ("pod", "status", "ready"),
    [
        (shown(waits("PodInitializing"), waits("PodInitializing")), "Init:0/2", "0/1"),
        (shown(RUNS, waits("PodInitializing")), "Init:0/2", "0/1"),
        (shown(ends_with(0), RUNS), "Init:1/2", "0/1"),
        (shown(ends_with(0), ends_with(0)), "PodInitializing", "0/1"),
        (shown(ends_with(2)), "Init:ExitCode:2", "0/1"),
        (shown(ends_with(1, "Error")), "Init:Error", "0/1"),
        (shown(waits("CrashLoopBackOff")), "Init:CrashLoopBackOff", "0/1"),
        (shown(waits("ImagePullBackOff")), "Init:ImagePullBackOff", "0/1"),
        (shown(RUNS, RUNS, is_lasting=True), "Init:0/2", "0/2"),
        (shown(RUNS, RUNS, is_lasting=True, is_started=True), "Init:1/2", "1/2"),
    ],
)
def test_the_status_says_how_far_the_init_containers_are(pod: Pod, status: str, ready: str) -> None:
    assert (printed(pod)["Status"], printed(pod)["Ready"]) == (status, ready)


def test_of_a_pod_that_is_initialized_only_sidecars_count_beside_the_others() -> None:
    pod = shown(waits("CrashLoopBackOff"), ends_with(0), is_lasting=True)
    assert (printed(pod)["Status"], printed(pod)["Restarts"]) == ("Init:CrashLoopBackOff", 4)

    main = ContainerStatus(name="main", state=RUNS, ready=True, restart_count=1)
    conditions = (a_condition("Initialized", "True"),)
    status = replaced(pod.status, container_statuses=(main,), conditions=conditions)
    status = replaced(status, phase="Running")
    begun = printed(replaced(pod, status=status))
    assert (begun["Status"], begun["Ready"], begun["Restarts"]) == ("Running", "1/2", 3)


def test_only_the_images_of_init_containers_change() -> None:
    old = a_pod(spec=a_spec(a_container("first")))
    other = a_pod(spec=a_spec(a_container("first", "cubernetes/web:2")))
    renamed = a_pod(spec=a_spec(a_container("second")))

    assert list(other.update_problems(old)) == []
    assert [one.field for one in renamed.update_problems(old)] == ["spec"]
