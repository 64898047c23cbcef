"""From a pod's words to the runtime's: what to ask for, for each of its containers."""

from collections.abc import Mapping
from types import MappingProxyType

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.qos import SANDBOX_OOM_SCORE, oom_score_adj
from cubernetes.api.core.podspec.spec import every_program
from cubernetes.api.core.podspec.volumes.rules import SUB_PATH_RULE, is_path_inside
from cubernetes.api.core.podspec.volumes.volume import is_read_only
from cubernetes.host.names.resolvconf import ResolvConf
from kubelet.objects.origins import CONFIG_ERROR, NOTHING, Origins, given_variables, value_of
from kubelet.pod.decisions import plan
from kubelet.pod.decisions.environment import (
    environment_of,
    expanded,
    expanded_all,
    missing_in,
)
from kubelet.pod.decisions.names import full_name, names_for
from kubelet.pod.decisions.security import sysctls_of
from kubelet.runtime.driver import (
    Allotment,
    ContainerSpec,
    Mount,
    RuntimeTrouble,
    SandboxSpec,
    Security,
)
from kubelet.settings import KubeletSettings

PROPAGATIONS = {"None": "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}
DEFAULT = Security()
NO_DEVICES = Allotment()
NO_CONF = ResolvConf()
HOST_NAME_MAX = 64  # of Linux
HOSTNAME_MAX = 63  # of a label of DNS


def sandbox_spec(
    pod: Pod,
    attempt: int,
    address: str,
    settings: KubeletSettings,
    host: ResolvConf = NO_CONF,
) -> SandboxSpec:
    """Return what the runtime is asked for; a pod finds its own name at its own address.

    address: empty where none is known before the sandbox runs. host: what the node's resolv.conf
    says. A pod in the node's network has the node's names.
    """
    is_shared = pod.spec.host_network
    own = () if is_shared else own_names(pod, settings)
    hostname = kernel_name(pod, settings)
    names = names_for(pod, settings.dns_servers, settings.cluster_domain, host)
    return SandboxSpec(
        pod_uid=pod.metadata.uid,
        pod_name=pod.metadata.name,
        namespace=pod.metadata.namespace,
        hostname=hostname,
        image=settings.pause_image,
        dns_servers=names.servers,
        dns_searches=names.searches,
        dns_options=names.options,
        extra_hosts=dict.fromkeys(own, address) if address else {},
        host_aliases=tuple(
            (name, alias.ip) for alias in pod.spec.host_aliases for name in alias.hostnames
        ),
        attempt=attempt,
        oom_score_adj=SANDBOX_OOM_SCORE,
        is_host_network=is_shared,
        is_host_ipc=pod.spec.host_ipc,
        sysctls=sysctls_of(pod),
    )


def hostname_of(pod: Pod) -> str:
    return (pod.spec.hostname or pod.metadata.name)[:HOSTNAME_MAX].rstrip("-.")


def kernel_name(pod: Pod, settings: KubeletSettings) -> str:
    """Return the host name that a pod's containers are told: the full one where it asks for it.

    Raises: RuntimeTrouble: it is longer than Linux takes.
    """
    hostname = hostname_of(pod)
    full = full_name(pod, hostname, settings.cluster_domain)
    if not pod.spec.set_hostname_as_fqdn or not full or pod.spec.host_network:
        return hostname
    if len(full) > HOST_NAME_MAX:
        raise RuntimeTrouble(
            "FailedCreatePodSandBox",
            f"Failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too "
            f"long ({HOST_NAME_MAX} characters is the max, {len(full)} characters requested)",
        )
    return full


def own_names(pod: Pod, settings: KubeletSettings) -> tuple[str, ...]:
    """Return the names by which a pod finds itself."""
    hostname = hostname_of(pod)
    full = full_name(pod, hostname, settings.cluster_domain)
    return tuple(name for name in (full, hostname) if name)


def container_spec(  # noqa: PLR0913  what a container is made from, each from its own source
    pod: Pod,
    wanted: Wanted,
    attempt: int,
    volumes: Mapping[str, str],
    node_memory_bytes: int,
    origins: Origins = NOTHING,
    parts: Mapping[int, str] = MappingProxyType({}),
    security: Security = DEFAULT,
    message_file: str = "",
    devices: Allotment = NO_DEVICES,
    target_id: str = "",
) -> ContainerSpec:
    """Return what the runtime is asked for; volumes maps their names to paths on this node.

    origins: what its variables are made from. parts: the paths of mounts that are parts of volumes.
    security: as whom it runs, by security_of. message_file: where its last message is to be, on
    this node. devices: what it gets with those that it was given; its own variables win.
    target_id: the container that runs and whose processes it is to share; empty for none.

    Raises: RuntimeTrouble: no such container can be made, by what its spec says.
    """
    environment = _environment(pod, wanted, origins)
    limits, requests = wanted.resources.limits, wanted.resources.requests
    cpu = requests.get("cpu") or limits.get("cpu")
    mounts = _mounts(pod, wanted, volumes, parts)
    if message_file:
        mounts += (Mount(message_file, wanted.termination_message_path),)
    taken = {one.target for one in mounts}
    mounts += tuple(one for one in devices.mounts if one.target not in taken)
    return ContainerSpec(
        pod_uid=pod.metadata.uid,
        pod_name=pod.metadata.name,
        namespace=pod.metadata.namespace,
        name=wanted.name,
        image=wanted.image,
        attempt=attempt,
        command=expanded_all(wanted.command, environment, "command") or None,
        args=expanded_all(wanted.args, environment, "args") or None,
        env={**devices.env, **environment},
        working_dir=wanted.working_dir,
        mounts=mounts,
        cpu_request_milli=cpu.milli if cpu else 0,
        cpu_limit_milli=limits["cpu"].milli if "cpu" in limits else 0,
        memory_limit_bytes=limits["memory"].whole if "memory" in limits else 0,
        oom_score_adj=oom_score_adj(pod.spec, wanted, node_memory_bytes),
        share_pids=bool(pod.spec.share_process_namespace),
        target_id=target_id,
        is_host_network=pod.spec.host_network,
        is_host_pid=pod.spec.host_pid,
        is_host_ipc=pod.spec.host_ipc,
        security=security,
        devices=tuple(devices.nodes),
        held=devices.held,
        has_stdin=wanted.stdin,
        is_stdin_once=wanted.stdin_once,
        has_terminal=wanted.tty,
        spec_hash=plan.spec_hash(wanted),
    )


def _mounts(
    pod: Pod,
    wanted: Wanted,
    volumes: Mapping[str, str],
    parts: Mapping[int, str],
) -> tuple[Mount, ...]:
    """Return the mounts that its own words ask for."""
    closed = {one.name for one in pod.spec.volumes if is_read_only(one)}
    return tuple(
        Mount(
            parts.get(index, volumes[one.name]),
            one.mount_path,
            one.read_only or one.name in closed,
            PROPAGATIONS[one.mount_propagation or "None"],
        )
        for index, one in enumerate(wanted.volume_mounts)
    )


def sub_paths(pod: Pod, wanted: Wanted, origins: Origins = NOTHING) -> Mapping[int, str]:
    """Return which parts of volumes a container sees, by the places of its mounts.

    Raises: RuntimeTrouble: a variable is not there, or leads out of the volume.
    """
    found = {at: one.sub_path for at, one in enumerate(wanted.volume_mounts) if one.sub_path}
    exprs = {at: one.sub_path_expr for at, one in enumerate(wanted.volume_mounts)}
    if not any(exprs.values()):
        return found
    environment = _environment(pod, wanted, origins)
    for at, text in exprs.items():
        if not text:
            continue
        if absent := missing_in(text, environment):
            message = f"volumeMounts[{at}].subPathExpr: missing value for {', '.join(absent)}"
            raise RuntimeTrouble(CONFIG_ERROR, message)
        path = expanded(text, environment, f"volumeMounts[{at}].subPathExpr")
        if not is_path_inside(path):
            message = f"volumeMounts[{at}].subPathExpr: {path[:255]!r} {SUB_PATH_RULE}"
            raise RuntimeTrouble(CONFIG_ERROR, message)
        found[at] = path
    return found


def _environment(pod: Pod, wanted: Wanted, origins: Origins) -> Mapping[str, str]:
    given, _ = given_variables(wanted, origins)
    return environment_of(wanted.env, given, lambda one: value_of(pod, wanted, one, origins))


def wanted_named(pod: Pod, name: str) -> Wanted | None:
    """Return the pod's container of a name; None where it has none."""
    return next((one for one in every_program(pod.spec) if one.name == name), None)
