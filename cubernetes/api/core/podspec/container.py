"""A container of a pod, as it is wanted: its program, variables, ports and limits."""

from typing import Literal

import msgspec

from cubernetes.api.core.podspec.envsource import EnvFromSource, EnvVarSource
from cubernetes.api.core.podspec.probes.probe import Lifecycle, Probe
from cubernetes.api.core.podspec.security.context import SecurityContext
from cubernetes.api.meta import Amounts, Model, PortNumber, shown, wire

type Protocol = Literal["TCP", "UDP"]


MESSAGE_PATH = "/dev/termination-log"


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
    sub_path: which part of the volume: a relative path without `..`; it is made where it is not
        there, and no symbolic link leads it out of the volume. Files that change do not follow.
    sub_path_expr: the same with `$(NAME)` replaced by the container's variables, in place of
        `subPath`.
    mount_propagation: whether mounts that are made later are seen: HostToContainer those of the
        node, Bidirectional (for privileged containers) also the node those of the container.
    """

    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""
    sub_path_expr: str = ""
    mount_propagation: Literal["None", "HostToContainer", "Bidirectional"] | None = None


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
    security_context: as whom it runs, and what it may do; it wins over the pod's.
    liveness_probe: a question that a living container answers; one that does not is ended, and
        started again by the restart policy.
    readiness_probe: a question that a container answers which may be led to; while it does not,
        services lead nobody to the pod.
    startup_probe: a question that a container answers once it has started; until then the other
        probes wait. One that does not in time is ended, as by `livenessProbe`.
    lifecycle: what is done right after its start and right before its end.
    restart_policy: Always, of an init container: it is a sidecar, which runs on beside the others
        and is started again whenever it ends. Only init containers have one.
    termination_message_path: the file in which it may leave a message for its status as it ends; of
        a longer one the last 4096 bytes count, of many containers' fewer.
    termination_message_policy: where its message is read: File is that file alone;
        FallbackToLogsOnError is also the end of its log, where it failed and left none.
    stdin: it has an input, which clients that attach write to; else it reads the end at once.
    stdin_once: its input ends with the first client that has attached, not with the container.
    tty: it has a terminal: its output and its errors are one stream, and it sees a size.
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
    security_context: SecurityContext | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    restart_policy: Literal["Always"] | None = None
    termination_message_path: str = shown(MESSAGE_PATH)
    termination_message_policy: Literal["File", "FallbackToLogsOnError"] = shown("File")
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
