"""Pod: containers that share a network, volumes and a fate."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from cubernetes.api import names, podrules
from cubernetes.api.condition import Condition, is_true
from cubernetes.api.errors import Problem
from cubernetes.api.meta import (
    Amounts,
    Column,
    Count,
    Instant,
    Labels,
    Model,
    Object,
    PortNumber,
    Resource,
    Seconds,
    age_of,
    immutable,
    replaced,
    shown,
    wire,
)
from cubernetes.api.meta import text_field as text

type Protocol = Literal["TCP", "UDP"]
type Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]
FINISHED = ("Succeeded", "Failed")
GRACE_DEFAULT_S = 30


class ContainerPort(Model):
    container_port: PortNumber
    name: str = ""
    protocol: Protocol = shown("TCP")
    host_port: PortNumber | None = None
    host_ip: str = wire("hostIP", "")


class EnvVar(Model):
    name: str
    value: str = ""


class Resources(Model):
    """cpu in cores (`500m`), memory in bytes (`64Mi`)."""

    requests: Amounts = msgspec.field(default_factory=dict)
    limits: Amounts = msgspec.field(default_factory=dict)


class VolumeMount(Model):
    name: str
    mount_path: str
    read_only: bool = False


class Container(Model):
    name: str
    image: str
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    resources: Resources = msgspec.field(default_factory=Resources)
    volume_mounts: tuple[VolumeMount, ...] = ()


class HostPath(Model):
    path: str
    type: Literal[
        "", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice",
        "BlockDevice",
    ] = ""  # fmt: skip


class EmptyDir(Model):
    """An empty directory that lives as long as the pod; medium Memory makes it a tmpfs."""

    medium: Literal["", "Memory"] = ""


class Volume(Model):
    name: str
    host_path: HostPath | None = None
    empty_dir: EmptyDir | None = None


class PodSpec(Model):
    """No init containers, probes or host namespaces yet: what is not here is refused by name."""

    containers: Annotated[tuple[Container, ...], msgspec.Meta(max_length=64)]
    volumes: Annotated[tuple[Volume, ...], msgspec.Meta(max_length=64)] = ()
    restart_policy: Literal["Always", "OnFailure", "Never"] = shown("Always")
    node_name: str = ""
    node_selector: Labels = msgspec.field(default_factory=dict)
    termination_grace_period_seconds: Seconds = shown(GRACE_DEFAULT_S)
    host_network: bool = False
    share_process_namespace: bool = False
    hostname: str = ""
    dns_policy: Literal["ClusterFirst", "Default"] = shown("ClusterFirst")
    scheduler_name: str = shown("default-scheduler")


class StateWaiting(Model):
    reason: str = ""
    message: str = ""


class StateRunning(Model):
    started_at: Instant | None = None


class StateTerminated(Model):
    """exit_code is shown also where it is 0; signal is the one that ended it, where one did."""

    exit_code: int = shown(0)
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: Instant | None = None
    finished_at: Instant | None = None
    container_id: str = wire("containerID", "")


class ContainerState(Model):
    """Exactly one of the three is set."""

    waiting: StateWaiting | None = None
    running: StateRunning | None = None
    terminated: StateTerminated | None = None


class ContainerStatus(Model):
    name: str
    state: ContainerState = msgspec.field(default_factory=ContainerState)
    last_state: ContainerState = msgspec.field(default_factory=ContainerState)
    ready: bool = shown(False)
    started: bool = shown(False)
    restart_count: Count = shown(0)
    image: str = shown("")
    image_id: str = msgspec.field(name="imageID", default_factory=str)
    container_id: str = wire("containerID", "")


class PodIP(Model):
    ip: str


class PodStatus(Model):
    phase: Phase = shown("Pending")
    conditions: tuple[Condition, ...] = ()
    message: str = ""
    reason: str = ""
    host_ip: str = wire("hostIP", "")
    pod_ip: str = wire("podIP", "")
    pod_ips: tuple[PodIP, ...] = wire("podIPs", ())
    start_time: Instant | None = None
    container_statuses: tuple[ContainerStatus, ...] = ()
    qos_class: str = ""
    observed_generation: int = 0


def is_finished(pod: "Pod") -> bool:
    """Its containers have ended and will not be started again."""
    return pod.status.phase in FINISHED


def is_ready(pod: "Pod") -> bool:
    """It may receive traffic: ready, not finished, and not asked to go."""
    ready = is_true(pod.status.conditions, "Ready")
    return ready and not is_finished(pod) and not pod.metadata.is_deleted


def requested(spec: PodSpec, resource: str) -> int:
    """Sum what the containers request of `cpu` (in milli-cores) or `memory` (in bytes).

    As in Kubernetes, a limit without a request is also the request.
    """
    total = 0
    for container in spec.containers:
        wanted = container.resources.requests.get(resource)
        wanted = wanted if wanted is not None else container.resources.limits.get(resource)
        if wanted is not None:
            total += wanted.milli if resource == "cpu" else wanted.whole
    return total


def _ready_count(pod: "Pod", _: object) -> str:
    ready = sum(one.ready for one in pod.status.container_statuses)
    return f"{ready}/{len(pod.spec.containers)}"


def _status(pod: "Pod", _: object) -> str:
    """Say what a person wants to know first, as kubectl does."""
    if pod.metadata.is_deleted:
        return "Terminating"
    for one in pod.status.container_statuses:
        if one.state.waiting and one.state.waiting.reason:
            return one.state.waiting.reason
    for one in pod.status.container_statuses:
        if one.state.terminated:
            ended = one.state.terminated
            return ended.reason or (
                f"Signal:{ended.signal}" if ended.signal else f"ExitCode:{ended.exit_code}"
            )
    return pod.status.reason or pod.status.phase


def _restarts(pod: "Pod", _: object) -> int:
    return sum(one.restart_count for one in pod.status.container_statuses)


class Pod(Object):
    resource = Resource(
        "", "v1", "Pod", "pods", ("po",), subresources=("status", "binding", "log"),
        categories=("all",),
    )  # fmt: skip
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Ready", _ready_count),
        Column("Status", _status),
        Column("Restarts", _restarts),
        Column("Age", age_of),
        Column("IP", lambda one, _: one.status.pod_ip or "<none>", wide=True),
        Column("Node", lambda one, _: one.spec.node_name or "<none>", wide=True),
    )
    selectable = {
        "spec.nodeName": text("spec.node_name"),
        "spec.restartPolicy": text("spec.restart_policy"),
        "spec.schedulerName": text("spec.scheduler_name"),
        "status.phase": text("status.phase"),
        "status.podIP": text("status.pod_ip"),
    }

    api_version: str = shown("v1")
    kind: str = shown("Pod")
    spec: PodSpec
    status: PodStatus = msgspec.field(default_factory=PodStatus)

    def defaulted(self) -> "Pod":
        return replaced(self, spec=defaulted_spec(self.spec))

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        yield from podrules.spec_problems(self.spec, "spec")

    def update_problems(self, old: "Pod") -> Iterator[Problem]:
        """Only images and the grace period may change; nodeName is set by a binding, once."""
        if old.spec.node_name:
            yield from immutable("spec.nodeName", old.spec.node_name, self.spec.node_name)
        if _fixed_part(old.spec) != _fixed_part(self.spec):
            message = "pod updates may not change fields other than containers[*].image"
            yield Problem("spec", message, "FieldValueForbidden")


class TemplateMeta(Model):
    name: str = ""
    namespace: str = ""
    labels: Labels = msgspec.field(default_factory=dict)
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    creation_timestamp: Instant | None = None


class PodTemplate(Model):
    """What a controller makes pods of; its name and namespace are not used."""

    metadata: TemplateMeta = msgspec.field(default_factory=TemplateMeta)
    spec: PodSpec


def defaulted_spec(spec: PodSpec) -> PodSpec:
    """Fill in pull policies: Always for an image without a tag or with `latest`, as Kubernetes."""
    containers = tuple(
        one
        if one.image_pull_policy
        else replaced(one, image_pull_policy=_pull_policy_for(one.image))
        for one in spec.containers
    )
    return replaced(spec, containers=containers)


def _pull_policy_for(image: str) -> str:
    name = image.rpartition("/")[2]
    _, colon, tag = name.partition(":")
    fresh = "@" not in name and (not colon or tag == "latest")
    return "Always" if fresh else "IfNotPresent"


def _fixed_part(spec: PodSpec) -> PodSpec:
    containers: Sequence[Container] = [replaced(one, image="") for one in spec.containers]
    return replaced(
        spec,
        containers=tuple(containers),
        node_name="",
        termination_grace_period_seconds=GRACE_DEFAULT_S,
    )


def template_problems(template: PodTemplate, field: str) -> Iterator[Problem]:
    """Yield what is wrong with a pod template that stands at field."""
    yield from names.label_problems(template.metadata.labels, f"{field}.metadata.labels")
    yield from names.annotation_problems(
        template.metadata.annotations, f"{field}.metadata.annotations"
    )
    yield from podrules.spec_problems(template.spec, f"{field}.spec")
