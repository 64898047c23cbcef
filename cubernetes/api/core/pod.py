"""Pod: containers that share a network, volumes and a fate."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.condition import Condition, is_true
from cubernetes.api.core import podcolumns, podrules
from cubernetes.api.core.envsource import EnvFromSource, EnvVarSource
from cubernetes.api.core.toleration import Toleration, changed_problems
from cubernetes.api.errors import Problem
from cubernetes.api.meta import (
    Amounts,
    Count,
    Instant,
    Labels,
    Model,
    Object,
    PortNumber,
    Seconds,
    immutable,
    replaced,
    shown,
    wire,
)
from cubernetes.api.meta import text_field as text
from cubernetes.api.resource import Resource

type Protocol = Literal["TCP", "UDP"]
type Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]
FINISHED = ("Succeeded", "Failed")
GRACE_DEFAULT_S = 30


class ContainerPort(Model):
    """A port on which a container listens; it is reached whether it is named here or not.

    container_port: its number, at the pod's address.
    name: by which services may mean it, unique in the container.
    protocol: which protocol is spoken on it.
    host_port: a port of the node that leads to it; one pod of a node can have it.
    host_ip: the node's address where `hostPort` is open; empty is every address.
    """

    container_port: PortNumber
    name: str = ""
    protocol: Protocol = shown("TCP")
    host_port: PortNumber | None = None
    host_ip: str = wire("hostIP", "")


class EnvVar(Model):
    """A variable of a container's environment.

    name: letters, digits, `-`, `_` and `.`; of two that are the same, the last counts.
    value: its value; `$(NAME)` is replaced by the variable of that name before it, `$$` is one `$`.
    value_from: where its value comes from; not with a `value`.
    """

    name: str
    value: str = ""
    value_from: EnvVarSource | None = None


class Resources(Model):
    """How much a container may use: `cpu` in cores (`500m`), `memory` in bytes (`64Mi`), and more.

    requests: what is kept free for it; a limit without a request is also the request. Besides cpu
        and memory: `ephemeral-storage` in bytes, and what nodes have of `example.com/gpu`.
    limits: what it cannot exceed: more cpu is slowed down, more memory ends it (OOMKilled). For a
        name with a domain it is also the request, in whole units.
    """

    requests: Amounts = msgspec.field(default_factory=dict)
    limits: Amounts = msgspec.field(default_factory=dict)


class VolumeMount(Model):
    """Where a container sees a volume.

    name: which of the pod's volumes.
    mount_path: where: an absolute path, not `/`, without `:`.
    read_only: the container cannot write to it.
    """

    name: str
    mount_path: str
    read_only: bool = False


class Container(Model):
    """A program with files of its own, in the pod's network.

    name: unique in the pod.
    image: what it is made of: `busybox:1.36`, or by digest.
    image_pull_policy: when the image is fetched. Left out, it is Always for an image without a tag
        or with `latest`, else IfNotPresent.
    command: what is run in place of the image's entry point; no shell reads it, but `$(NAME)` is
        replaced by the container's variable of that name.
    args: its arguments, in place of the image's; `$(NAME)` as in `command`.
    env: variables of its environment, over the image's.
    env_from: objects whose keys are variables, too; `env` wins over them, and later ones win.
    working_dir: where it begins; empty is where the image says.
    ports: where it listens.
    resources: what it is promised, and what it cannot exceed.
    volume_mounts: where it sees the pod's volumes.
    termination_message_path, termination_message_policy: only the defaults are taken; no message is
        read from there yet.
    """

    name: str
    image: str
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    resources: Resources = msgspec.field(default_factory=Resources)
    volume_mounts: tuple[VolumeMount, ...] = ()
    termination_message_path: Literal["/dev/termination-log"] = shown("/dev/termination-log")
    termination_message_policy: Literal["File"] = shown("File")


class HostPath(Model):
    """A file or folder of the node.

    path: where it is on the node.
    type: what must be there before the pod starts. DirectoryOrCreate, FileOrCreate and the empty
        text (a folder) make it where it is not.
    """

    path: str
    type: Literal[
        "", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice",
        "BlockDevice",
    ] = shown("")  # fmt: skip


class EmptyDir(Model):
    """An empty directory that lives as long as the pod.

    medium: Memory makes it a tmpfs; empty is the node's disk.
    """

    medium: Literal["", "Memory"] = ""


class Volume(Model):
    """Files that containers of a pod share; exactly one of the sources is set.

    name: by which containers mount it, unique in the pod.
    host_path: files of the node.
    empty_dir: a directory of the pod's own.
    """

    name: str
    host_path: HostPath | None = None
    empty_dir: EmptyDir | None = None


class PodSecurityContext(Model):
    """Only the empty one is taken, which Kubernetes gives every pod: it asks for nothing."""


class PodSpec(Model):
    """No init containers, probes or host namespaces yet: what is not here is refused by name.

    containers: what runs, side by side; at least one.
    volumes: what the containers may mount.
    restart_policy: whether a container that ends is started again; OnFailure: not after code 0.
    node_name: where it runs; empty until the scheduler says it, once.
    node_selector: labels that its node must have.
    termination_grace_period_seconds: how long its containers have between TERM and KILL.
    host_network: only false is taken: pods have a network of their own.
    share_process_namespace: its containers see each other's processes.
    security_context: only `{}` is taken.
    enable_service_links: whether its containers have variables for the services of its namespace.
    hostname: its host name; empty is the pod's name.
    dns_policy: ClusterFirst asks the cluster's name servers where it has any, Default the node's.
    scheduler_name: the scheduler that places it.
    tolerations: which taints of nodes it bears, and how long it stays on a node out of reach.
    """

    containers: Annotated[tuple[Container, ...], msgspec.Meta(max_length=64)]
    volumes: Annotated[tuple[Volume, ...], msgspec.Meta(max_length=64)] = ()
    restart_policy: Literal["Always", "OnFailure", "Never"] = shown("Always")
    node_name: str = ""
    node_selector: Labels = msgspec.field(default_factory=dict)
    termination_grace_period_seconds: Seconds = shown(GRACE_DEFAULT_S)
    host_network: bool = False
    share_process_namespace: bool | None = None
    security_context: PodSecurityContext = msgspec.field(default_factory=PodSecurityContext)
    enable_service_links: bool = shown(True)
    hostname: str = ""
    dns_policy: Literal["ClusterFirst", "Default"] = shown("ClusterFirst")
    scheduler_name: str = shown("default-scheduler")
    tolerations: Annotated[tuple[Toleration, ...], msgspec.Meta(max_length=64)] = ()


class StateWaiting(Model):
    """It has not started yet, or waits to be started again.

    reason: why, as one word: `ImagePullBackOff`.
    message: why, as a sentence.
    """

    reason: str = ""
    message: str = ""


class StateRunning(Model):
    """It runs.

    started_at: since when.
    """

    started_at: Instant | None = None


class StateTerminated(Model):
    """It has ended.

    exit_code: what it ended with; 128 and more: by a signal.
    signal: the signal that ended it, where one did.
    reason: why, as one word: `Completed`, `Error`, `OOMKilled`.
    message: why, as a sentence.
    started_at: when it started.
    finished_at: when it ended.
    container_id: which container of the runtime it was.
    """

    exit_code: int = shown(0)
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: Instant | None = None
    finished_at: Instant | None = None
    container_id: str = wire("containerID", "")


class ContainerState(Model):
    """How a container is; one of the three is set.

    waiting: it does not run yet, or not again.
    running: it runs.
    terminated: it has ended.
    """

    waiting: StateWaiting | None = None
    running: StateRunning | None = None
    terminated: StateTerminated | None = None


class ContainerStatus(Model):
    """What the kubelet has found of a container.

    name: which of the pod's containers.
    state: how it is.
    last_state: how it ended before it was started again.
    ready: it runs.
    started: it has been started, and has not ended since.
    restart_count: how often it has been started again.
    image: what it is made of, as its spec says.
    image_id: the id of exactly that image.
    container_id: which container of the runtime it is: `docker://<id>`.
    """

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
    """An address of a pod, or of its node.

    ip: the address, IPv4.
    """

    ip: str


class PodStatus(Model):
    """What the kubelet has found of a pod.

    phase: how far it is in its life. Succeeded and Failed are final.
    conditions: PodScheduled, Initialized, ContainersReady, Ready: how near it is to serving.
    message: why it is so, as a sentence.
    reason: why it is so, as one word.
    host_ip: the address of its node.
    host_ips: nothing but `hostIP`, for clients that read it here.
    pod_ip: its own address.
    pod_ips: nothing but `podIP`, for clients that read it here.
    start_time: when its kubelet took it on.
    container_statuses: each of its containers.
    qos_class: Guaranteed, Burstable or BestEffort, as its requests and limits say.
    observed_generation: the generation of the pod that its kubelet has seen.
    """

    phase: Phase = shown("Pending")
    conditions: tuple[Condition, ...] = ()
    message: str = ""
    reason: str = ""
    host_ip: str = wire("hostIP", "")
    host_ips: tuple[PodIP, ...] = wire("hostIPs", ())
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


class Pod(Object):
    resource = Resource(
        "", "v1", "Pod", "pods", ("po",), subresources=("status", "binding", "log", "exec"),
        categories=("all",),
    )  # fmt: skip
    columns = podcolumns.COLUMNS
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
        """Images and the grace may change, tolerations be added; a binding sets nodeName, once."""
        if old.spec.node_name:
            yield from immutable("spec.nodeName", old.spec.node_name, self.spec.node_name)
        if _fixed_part(old.spec) != _fixed_part(self.spec):
            message = (
                "pod updates may not change fields other than containers[*].image and "
                "tolerations (only additions)"
            )
            yield Problem("spec", message, "FieldValueForbidden")
        yield from changed_problems(old.spec.tolerations, self.spec.tolerations, "spec.tolerations")


class TemplateMeta(Model):
    """What the pods of a template are told apart and found by.

    name, namespace, creation_timestamp: not used: pods get their own.
    labels: the labels of each pod.
    annotations: the annotations of each pod.
    """

    name: str = ""
    namespace: str = ""
    labels: Labels = msgspec.field(default_factory=dict)
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    creation_timestamp: Instant | None = None


class PodTemplate(Model):
    """What a controller makes pods of.

    metadata: what each pod carries.
    spec: what each pod is.
    """

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
        tolerations=(),
    )


def template_problems(template: PodTemplate, field: str) -> Iterator[Problem]:
    """Yield what is wrong with a pod template that stands at field."""
    yield from names.label_problems(template.metadata.labels, f"{field}.metadata.labels")
    yield from names.annotation_problems(
        template.metadata.annotations, f"{field}.metadata.annotations"
    )
    yield from podrules.spec_problems(template.spec, f"{field}.spec")
