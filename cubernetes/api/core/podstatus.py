"""A pod's status: what its kubelet has found of it and of each of its containers."""

from typing import Literal

import msgspec

from cubernetes.api.condition import Condition
from cubernetes.api.core.podspec.spec import PodSpec, sidecars
from cubernetes.api.meta import Count, Instant, Model, shown, wire

type Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]


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
    init_container_statuses: each of its init containers; one that has ended well is ready.
    container_statuses: each of its containers.
    ephemeral_container_statuses: each of its ephemeral containers; none of them is ever ready.
    nominated_node_name: the node where others make room for it; it may go elsewhere all the same.
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
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()
    nominated_node_name: str = ""
    qos_class: str = ""
    observed_generation: int = 0


def lasting_statuses(spec: PodSpec, status: PodStatus) -> tuple[ContainerStatus, ...]:
    """Return what is found of the containers that run side by side: sidecars, then the others."""
    names = {one.name for one in sidecars(spec)}
    inits = (one for one in status.init_container_statuses if one.name in names)
    return (*inits, *status.container_statuses)
