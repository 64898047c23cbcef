"""What goes together with the namespaces of the node, and what does not; in Kubernetes' words."""

from collections.abc import Iterator

from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.errors import Problem


def host_problems(spec: PodSpec, field: str) -> Iterator[Problem]:
    """Yield what is wrong with a pod that has the node's network, processes or IPC."""
    if spec.host_pid and spec.share_process_namespace:
        message = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield Problem(f"{field}.shareProcessNamespace", message)
    # A setting of a namespace that is the node's would be the node's.
    if spec.host_network:
        yield from _sysctl_problems(spec, field, ("net.",), "hostNetwork")
        yield from _port_problems(spec, field)
    if spec.host_ipc:
        yield from _sysctl_problems(spec, field, ("kernel.", "fs.mqueue."), "hostIPC")


def _sysctl_problems(
    spec: PodSpec, field: str, begins: tuple[str, ...], part: str
) -> Iterator[Problem]:
    for index, one in enumerate(spec.security_context.sysctls):
        if one.name.replace("/", ".").startswith(begins):
            where = f"{field}.securityContext.sysctls[{index}].name"
            message = f"may not be specified when '{part}' is true"
            yield Problem(where, message, "FieldValueForbidden")


def _port_problems(spec: PodSpec, field: str) -> Iterator[Problem]:
    kinds = (("initContainers", spec.init_containers), ("containers", spec.containers))
    for index, kind, one in (
        (index, kind, one) for kind, each in kinds for index, one in enumerate(each)
    ):
        for at, port in enumerate(one.ports):
            if port.host_port not in (None, port.container_port):
                where = f"{field}.{kind}[{index}].ports[{at}].hostPort"
                yield Problem(where, "must match `containerPort` when `hostNetwork` is true")
