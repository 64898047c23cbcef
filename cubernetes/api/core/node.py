"""Node: a machine that runs pods, as its kubelet reports it."""

from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Annotated, Literal

import msgspec

from cubernetes.api.condition import Condition, is_true
from cubernetes.api.core.parts.resources import node_problems
from cubernetes.api.errors import Problem
from cubernetes.api.meta import (
    Amounts,
    Column,
    Instant,
    Model,
    Object,
    age_of,
    immutable,
    replaced,
    shown,
    wire,
)
from cubernetes.api.meta import text_field as text
from cubernetes.api.names import is_label_key
from cubernetes.api.resource import Resource

ROLE_LABEL = "node-role.kubernetes.io/"
HOSTNAME_LABEL = "kubernetes.io/hostname"
KUBELET_PORT = 10250  # where one listens that says nothing else


class Taint(Model):
    """A reason for pods to keep away from a node; a pod's tolerations say what it bears.

    key, value: what makes the node unwelcome.
    effect: what it does to a pod that does not bear it. NoSchedule keeps new pods away,
        PreferNoSchedule lets them come only where no other node takes them, and NoExecute keeps new
        pods away and ends those that are there.
    time_added: kept for clients that send it.
    """

    key: str
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = shown("NoSchedule")
    time_added: Instant | None = None


# What a node is tainted with while it is short of something, by its condition.
PRESSURE_TAINTS = {
    "MemoryPressure": Taint(key="node.kubernetes.io/memory-pressure", effect="NoSchedule"),
    "DiskPressure": Taint(key="node.kubernetes.io/disk-pressure", effect="NoSchedule"),
    "PIDPressure": Taint(key="node.kubernetes.io/pid-pressure", effect="NoSchedule"),
}
# As what a pod may bear it that a node is cordoned.
UNSCHEDULABLE = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


class NodeSpec(Model):
    """What the cluster has decided about a machine.

    pod_cidr: the part of the pod range that its pods get addresses from; once set, it stays.
    pod_cidrs: nothing but `podCIDR`, for clients that read it here.
    unschedulable: no new pods come here; those that are here stay.
    taints: reasons for pods to keep away, each with what it does to them.
    provider_id: kept for clients that send it.
    """

    pod_cidr: str = wire("podCIDR", "")
    pod_cidrs: tuple[str, ...] = wire("podCIDRs", ())
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()
    provider_id: str = wire("providerID", "")


class NodeAddress(Model):
    """Where a machine is reached.

    type: by whom: other nodes use InternalIP.
    address: an IPv4 address, or a name where the type is Hostname.
    """

    type: Literal["InternalIP", "ExternalIP", "Hostname"]
    address: str


class NodeSystemInfo(Model):
    """What runs there.

    machine_id: /etc/machine-id.
    boot_id: another one after each boot.
    system_uuid: kept for clients that send it.
    kernel_version: as `uname -r` says.
    os_image: PRETTY_NAME of /etc/os-release.
    operating_system: linux.
    architecture: as Go calls it: amd64, arm64.
    container_runtime_version: the runtime and its version: `docker://27.5.1`.
    kubelet_version, kube_proxy_version: Cubernetes' version.
    """

    machine_id: str = shown("", "machineID")
    boot_id: str = shown("", "bootID")
    system_uuid: str = shown("", "systemUUID")
    kernel_version: str = shown("")
    os_image: str = shown("")
    operating_system: str = shown("")
    architecture: str = shown("")
    container_runtime_version: str = shown("")
    kubelet_version: str = shown("")
    kube_proxy_version: str = shown("")


class DaemonEndpoint(Model):
    """A port of a program of the machine.

    port: its number; 0 where it does not listen.
    """

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = shown(0, "Port")


class DaemonEndpoints(Model):
    """Where the programs of the machine listen.

    kubelet_endpoint: where the API server fetches logs.
    """

    kubelet_endpoint: DaemonEndpoint = msgspec.field(default_factory=DaemonEndpoint)


class ContainerImage(Model):
    """An image that a node has.

    names: by which pods may name it: with its tags, and with its digest.
    size_bytes: how much of the disk it takes.
    """

    names: tuple[str, ...] = ()
    size_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0


class NodeStatus(Model):
    """A machine as its kubelet finds it.

    capacity: what it has: `cpu`, `memory`, `ephemeral-storage`, `pods`; devices that its kubelet
        has found (`nvidia.com/gpu`); and such as an administrator writes here and it keeps.
    allocatable: what of that pods may use.
    conditions: Ready: whether it can run pods; Unknown where its kubelet has fallen silent.
    addresses: where it is reached.
    daemon_endpoints: where its programs listen.
    node_info: what runs there.
    images: which images it has, the largest ones: a profile with image locality prefers nodes that
        have those of a pod.
    """

    capacity: Amounts = msgspec.field(default_factory=dict)
    allocatable: Amounts = msgspec.field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    addresses: tuple[NodeAddress, ...] = ()
    daemon_endpoints: DaemonEndpoints = msgspec.field(default_factory=DaemonEndpoints)
    node_info: NodeSystemInfo = msgspec.field(default_factory=NodeSystemInfo)
    images: tuple[ContainerImage, ...] = ()


def is_ready(node: "Node") -> bool:
    return is_true(node.status.conditions, "Ready")


def _status(node: "Node", _: object) -> str:
    ready = "Ready" if is_ready(node) else "NotReady"
    return f"{ready},SchedulingDisabled" if node.spec.unschedulable else ready


def _address(node: "Node", kind: str) -> str:
    found = (one.address for one in node.status.addresses if one.type == kind)
    return next(found, "<none>")


def _roles(node: "Node", _: object) -> str:
    labels = sorted(key for key in node.metadata.labels if key.startswith(ROLE_LABEL))
    return ",".join(label.removeprefix(ROLE_LABEL) for label in labels) or "<none>"


class Node(Object):
    resource = Resource(
        "", "v1", "Node", "nodes", ("no",), namespaced=False, subresources=("status", "proxy")
    )
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Status", _status),
        Column("Roles", _roles),
        Column("Age", age_of),
        Column("Version", lambda one, _: one.status.node_info.kubelet_version),
        Column("Internal-IP", lambda one, _: _address(one, "InternalIP"), wide=True),
        Column("External-IP", lambda one, _: _address(one, "ExternalIP"), wide=True),
        Column("OS-Image", lambda one, _: one.status.node_info.os_image, wide=True),
        Column("Kernel-Version", lambda one, _: one.status.node_info.kernel_version, wide=True),
        Column(
            "Container-Runtime",
            lambda one, _: one.status.node_info.container_runtime_version,
            wide=True,
        ),
    )
    selectable = {"spec.unschedulable": text("spec.unschedulable")}

    api_version: str = shown("v1")
    kind: str = shown("Node")
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)

    @property
    def address(self) -> str:
        """Return the InternalIP by which other nodes reach this one; empty where unknown."""
        internal = (one.address for one in self.status.addresses if one.type == "InternalIP")
        return next(internal, "")

    @property
    def kubelet_port(self) -> int:
        """Return the port at which its kubelet answers; the usual one where it does not say."""
        return self.status.daemon_endpoints.kubelet_endpoint.port or KUBELET_PORT

    def defaulted(self) -> "Node":
        """Fill in podCIDR and podCIDRs from each other, as Kubernetes does."""
        spec = self.spec
        first = spec.pod_cidr or next(iter(spec.pod_cidrs), "")
        ranges = spec.pod_cidrs or ((first,) if first else ())
        return replaced(self, spec=replaced(spec, pod_cidr=first, pod_cidrs=ranges))

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        if self.spec.pod_cidrs not in ((), (self.spec.pod_cidr,)):
            yield Problem("spec.podCIDRs", "must hold nothing but podCIDR: one range, IPv4")
        if self.spec.pod_cidr and not is_network(self.spec.pod_cidr):
            yield Problem("spec.podCIDR", "must be an IPv4 network such as 10.244.1.0/24")
        for index, taint in enumerate(self.spec.taints):
            if not is_label_key(taint.key):
                yield Problem(f"spec.taints[{index}].key", "must be a label key")
        yield from self._status_problems()

    def status_problems(self, old: "Node") -> Iterator[Problem]:  # noqa: ARG002  none is of changes
        return self._status_problems()

    def _status_problems(self) -> Iterator[Problem]:
        yield from node_problems(self.status.capacity, "status.capacity")
        yield from node_problems(self.status.allocatable, "status.allocatable")
        for index, one in enumerate(self.status.addresses):
            if one.type != "Hostname" and not is_address(one.address):
                yield Problem(f"status.addresses[{index}].address", "must be an IPv4 address")

    def update_problems(self, old: "Node") -> Iterator[Problem]:
        if old.spec.pod_cidr:
            yield from immutable("spec.podCIDR", old.spec.pod_cidr, self.spec.pod_cidr)


def is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def is_network(text: str) -> bool:
    """True for `10.244.0.0/16`: with a prefix length, and without host bits."""
    try:
        IPv4Network(text)
    except (AddressValueError, NetmaskValueError, ValueError):
        return False
    return "/" in text


def is_given_by(node: Node, address: str) -> bool:
    """Whether a pod of the node may have the address: of its range, or the node's own."""
    if any(one.address == address for one in node.status.addresses):
        return True
    if not is_address(address) or not is_network(node.spec.pod_cidr):
        return False
    return IPv4Address(address) in IPv4Network(node.spec.pod_cidr)
