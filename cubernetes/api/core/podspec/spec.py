"""A pod's spec: its containers, its volumes, and where and how long it runs."""

from typing import Annotated, Literal

import msgspec

from cubernetes.api.core.parts.objectref import LocalObjectReference
from cubernetes.api.core.podspec.container import MESSAGE_PATH, Container
from cubernetes.api.core.podspec.dns import DNSPolicy, PodDNSConfig
from cubernetes.api.core.podspec.ephemeral import EphemeralContainer
from cubernetes.api.core.podspec.placement.affinity import Affinity
from cubernetes.api.core.podspec.placement.spread import (
    PodSchedulingGate,
    TopologySpreadConstraint,
)
from cubernetes.api.core.podspec.probes.probe import defaulted_lifecycle, defaulted_probe
from cubernetes.api.core.podspec.security.context import PodSecurityContext
from cubernetes.api.core.podspec.toleration import Toleration
from cubernetes.api.core.podspec.volumes.volume import Volume
from cubernetes.api.meta import Labels, Model, ObjectMeta, Seconds, replaced, shown, wire

GRACE_DEFAULT_S = 30
# An annotation: the container that clients mean where nobody names one.
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


class HostAlias(Model):
    """Names that a pod's containers find at an address, in their /etc/hosts.

    ip: the address.
    hostnames: its names there.
    """

    ip: str
    hostnames: tuple[str, ...] = ()


class PodReadinessGate(Model):
    """A condition of a pod, written by another program, without which the pod is not ready.

    condition_type: the condition's type; its status must be True.
    """

    condition_type: str


class PodSpec(Model):
    """What is not here is refused by name.

    containers: what runs, side by side; at least one.
    init_containers: what runs before, one after another, each to its end with code 0; one that
        fails runs again, unless `restartPolicy` is Never. One with a `restartPolicy` of its own is
        a sidecar: the next begins once it has started, and it runs on.
    ephemeral_containers: what was added to look into it, by `pods/ephemeralcontainers` alone.
    volumes: what the containers may mount.
    restart_policy: whether a container that ends is started again; OnFailure: not after code 0.
    node_name: where it runs; empty until the scheduler says it, once.
    node_selector: labels that its node must have.
    termination_grace_period_seconds: how long its containers have between TERM and KILL.
    active_deadline_seconds: how long it may live on its node before it is ended, as failed; it may
        be set or made less in a pod that lives.
    readiness_gates: conditions that others write and without which it is not ready.
    host_aliases: more entries of its containers' /etc/hosts.
    service_account_name: the account that its programs are before the API server; empty is
        `default`.
    service_account: Nothing but `serviceAccountName`, by its older name.
    automount_service_account_token: whether its containers find a token of the account at
        /var/run/secrets/kubernetes.io/serviceaccount; left out, as the account says.
    image_pull_secrets: Secrets of its namespace with the logins of registries from which its
        images are pulled, of the types kubernetes.io/dockerconfigjson and kubernetes.io/dockercfg;
        left out, those of its account.
    host_network: it has the node's network, addresses and host name, and no network of its own;
        its ports are the node's.
    host_pid: its containers see the processes of the node.
    host_ipc: its containers share the node's System V IPC and POSIX message queues.
    share_process_namespace: its containers see each other's processes.
    security_context: as whom its containers run, and what they may do.
    enable_service_links: whether its containers have variables for the services of its namespace.
    hostname: its host name; empty is the pod's name.
    subdomain: the headless service under whose name it is found as `hostname.subdomain`.
    set_hostname_as_fqdn: whether its containers' host name is that full name; nothing without a
        subdomain.
    dns_policy: ClusterFirst asks the cluster for names, Default whom the node asks, None only what
        `dnsConfig` says. ClusterFirstWithHostNet is ClusterFirst for pods in the node's network.
    dns_config: what is added to that which `dnsPolicy` gives.
    scheduler_name: the scheduler that places it.
    tolerations: which taints of nodes it bears, and how long it stays on a node out of reach.
    affinity: which nodes, and which pods beside it, it must have or would rather have.
    topology_spread_constraints: how evenly it and its like must lie over places.
    priority_class_name: the PriorityClass that says how much it matters.
    priority: how much it matters, as its class says; the server writes it.
    preemption_policy: whether it may take the place of pods of lower priority, as its class says.
    scheduling_gates: reasons not to place it yet; they may be taken away, and none added.
    """

    containers: Annotated[tuple[Container, ...], msgspec.Meta(max_length=64)]
    init_containers: Annotated[tuple[Container, ...], msgspec.Meta(max_length=64)] = ()
    ephemeral_containers: Annotated[
        tuple[EphemeralContainer, ...], msgspec.Meta(max_length=64)
    ] = ()
    volumes: Annotated[tuple[Volume, ...], msgspec.Meta(max_length=64)] = ()
    restart_policy: Literal["Always", "OnFailure", "Never"] = shown("Always")
    node_name: str = ""
    node_selector: Labels = msgspec.field(default_factory=dict)
    termination_grace_period_seconds: Seconds = shown(GRACE_DEFAULT_S)
    active_deadline_seconds: Seconds | None = None
    readiness_gates: Annotated[tuple[PodReadinessGate, ...], msgspec.Meta(max_length=64)] = ()
    host_aliases: Annotated[tuple[HostAlias, ...], msgspec.Meta(max_length=64)] = ()
    service_account_name: str = ""
    service_account: str = ""
    automount_service_account_token: bool | None = None
    image_pull_secrets: Annotated[
        tuple[LocalObjectReference, ...], msgspec.Meta(max_length=64)
    ] = ()
    host_network: bool = False
    host_pid: bool = wire("hostPID", False)
    host_ipc: bool = wire("hostIPC", False)
    share_process_namespace: bool | None = None
    security_context: PodSecurityContext = msgspec.field(default_factory=PodSecurityContext)
    enable_service_links: bool = shown(True)
    hostname: str = ""
    subdomain: str = ""
    set_hostname_as_fqdn: bool | None = wire("setHostnameAsFQDN", None)
    dns_policy: DNSPolicy = shown("ClusterFirst")
    dns_config: PodDNSConfig | None = wire("dnsConfig", None)
    scheduler_name: str = shown("default-scheduler")
    tolerations: Annotated[tuple[Toleration, ...], msgspec.Meta(max_length=64)] = ()
    affinity: Affinity | None = None
    topology_spread_constraints: Annotated[
        tuple[TopologySpreadConstraint, ...], msgspec.Meta(max_length=64)
    ] = ()
    priority_class_name: str = ""
    priority: int | None = None
    preemption_policy: Literal["PreemptLowerPriority", "Never"] | None = None
    scheduling_gates: Annotated[tuple[PodSchedulingGate, ...], msgspec.Meta(max_length=64)] = ()


def defaulted_spec(spec: PodSpec) -> PodSpec:
    """Fill in what Kubernetes fills in: pull policies, what probes leave open, host ports."""
    is_shared = spec.host_network
    account = spec.service_account_name or spec.service_account
    return replaced(
        spec,
        service_account_name=account,
        service_account=account,
        containers=tuple(_defaulted(one, is_shared) for one in spec.containers),
        init_containers=tuple(_defaulted(one, is_shared) for one in spec.init_containers),
        ephemeral_containers=tuple(_defaulted(one, False) for one in spec.ephemeral_containers),
    )


def every_container(spec: PodSpec) -> tuple[Container, ...]:
    """Return the containers of a pod, init containers first."""
    return (*spec.init_containers, *spec.containers)


def every_program(spec: PodSpec) -> tuple[Container, ...]:
    """Return all that may run in a pod: its containers, and what was added to look into it."""
    return (*every_container(spec), *spec.ephemeral_containers)


def default_container(metadata: ObjectMeta, spec: PodSpec) -> str:
    """Return which container is meant where none is named: the pod says so, or the first."""
    wanted = metadata.annotations.get(DEFAULT_CONTAINER, "")
    is_there = wanted in {one.name for one in every_program(spec)}
    return wanted if is_there else spec.containers[0].name


def is_sidecar(one: Container) -> bool:
    """Whether an init container runs on beside the pod's other containers."""
    return one.restart_policy == "Always"


def sidecars(spec: PodSpec) -> tuple[Container, ...]:
    return tuple(one for one in spec.init_containers if is_sidecar(one))


def lasting_containers(spec: PodSpec) -> tuple[Container, ...]:
    """Return the containers that run side by side once the pod is initialized."""
    return (*sidecars(spec), *spec.containers)


def _defaulted[C: Container](one: C, is_shared: bool) -> C:
    """Fill in a pull policy: Always for an image without a tag or with `latest`; and probes.

    is_shared: its ports are the node's.
    """
    ports = tuple(
        replaced(port, host_port=port.host_port or port.container_port) if is_shared else port
        for port in one.ports
    )
    return replaced(
        one,
        ports=ports,
        image_pull_policy=one.image_pull_policy or _pull_policy_for(one.image),
        liveness_probe=defaulted_probe(one.liveness_probe),
        readiness_probe=defaulted_probe(one.readiness_probe),
        startup_probe=defaulted_probe(one.startup_probe),
        lifecycle=defaulted_lifecycle(one.lifecycle),
        termination_message_path=one.termination_message_path or MESSAGE_PATH,
    )


def _pull_policy_for(image: str) -> str:
    name = image.rpartition("/")[2]
    _, colon, tag = name.partition(":")
    fresh = "@" not in name and (not colon or tag == "latest")
    return "Always" if fresh else "IfNotPresent"
