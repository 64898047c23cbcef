"""What makes a pod's spec legal, beyond the types of its fields."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from cubernetes.api import names
from cubernetes.api.core.node import is_address
from cubernetes.api.core.podspec.container import Container, ContainerPort
from cubernetes.api.core.podspec.dns import dns_problems
from cubernetes.api.core.podspec.envrules import env_problems
from cubernetes.api.core.podspec.ephemeralrules import ephemeral_problems
from cubernetes.api.core.podspec.hostrules import host_problems
from cubernetes.api.core.podspec.placement.peerrules import gate_problems, spread_problems
from cubernetes.api.core.podspec.placement.rules import affinity_problems
from cubernetes.api.core.podspec.probes.rules import (
    ending_problems,
    hook_problems,
    readiness_problems,
)
from cubernetes.api.core.podspec.requests import container_problems
from cubernetes.api.core.podspec.security.rules import (
    pod_security_problems,
    security_problems,
)
from cubernetes.api.core.podspec.spec import (
    PodSpec,
    every_container,
    is_sidecar,
    lasting_containers,
)
from cubernetes.api.core.podspec.toleration import toleration_problems
from cubernetes.api.core.podspec.volumes.rules import is_absolute, mount_problems, volume_problems
from cubernetes.api.errors import Problem

# The grammar of distribution references, less the registry's finer points; at most 255 characters.
_IMAGE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?\Z"
)


def spec_problems(spec: PodSpec, field: str) -> Iterator[Problem]:
    """Yield what is wrong with the spec that stands at field (`spec`, `spec.template.spec`)."""
    if not spec.containers:
        yield Problem(f"{field}.containers", "needs at least one", "FieldValueRequired")
    yield from host_problems(spec, field)
    yield from _names(spec, field)
    yield from pod_security_problems(spec.security_context, f"{field}.securityContext")
    yield from dns_problems(spec.dns_policy, spec.dns_config, field)
    yield from names.label_problems(spec.node_selector, f"{field}.nodeSelector")
    yield from toleration_problems(spec.tolerations, f"{field}.tolerations")
    yield from affinity_problems(spec.affinity, f"{field}.affinity")
    yield from spread_problems(
        spec.topology_spread_constraints, f"{field}.topologySpreadConstraints"
    )
    yield from gate_problems(spec.scheduling_gates, spec.node_name, f"{field}.schedulingGates")
    yield from _twice((one.name for one in spec.volumes), f"{field}.volumes", "name")
    for index, volume in enumerate(spec.volumes):
        yield from volume_problems(volume, f"{field}.volumes[{index}]")
    if spec.active_deadline_seconds == 0:
        yield Problem(f"{field}.activeDeadlineSeconds", "must be greater than 0")
    yield from _more_hosts(spec, field)
    yield from _containers(spec, field)
    yield from _host_ports(spec, field)


def _more_hosts(spec: PodSpec, field: str) -> Iterator[Problem]:
    for index, gate in enumerate(spec.readiness_gates):
        if not names.is_label_key(gate.condition_type):
            where = f"{field}.readinessGates[{index}].conditionType"
            yield Problem(where, names.LABEL_KEY_RULE)
    for index, alias in enumerate(spec.host_aliases):
        where = f"{field}.hostAliases[{index}]"
        if not is_address(alias.ip):
            yield Problem(f"{where}.ip", "must be an IPv4 address")
        for at, name in enumerate(alias.hostnames):
            if not names.is_subdomain(name):
                yield Problem(f"{where}.hostnames[{at}]", names.SUBDOMAIN_RULE)


def _containers(spec: PodSpec, field: str) -> Iterator[Problem]:
    yield from _twice((one.name for one in every_container(spec)), f"{field}.containers", "name")
    volumes, grace_s = {one.name for one in spec.volumes}, spec.termination_grace_period_seconds
    for index, container in enumerate(spec.containers):
        where = f"{field}.containers[{index}]"
        yield from _container(container, volumes, where)
        yield from _lasting_problems(container, grace_s, where)
        if container.restart_policy is not None:
            message = "may not be set for non-init containers"
            yield Problem(f"{where}.restartPolicy", message, "FieldValueForbidden")
    for index, container in enumerate(spec.init_containers):
        where = f"{field}.initContainers[{index}]"
        yield from _container(container, volumes, where)
        if is_sidecar(container):
            yield from _lasting_problems(container, grace_s, where)
        else:
            yield from _init_problems(container, where)
    for index, container in enumerate(spec.ephemeral_containers):
        yield from _container(container, volumes, f"{field}.ephemeralContainers[{index}]")
    yield from ephemeral_problems(spec, field)


def _names(spec: PodSpec, field: str) -> Iterator[Problem]:
    for part, text in (
        ("nodeName", spec.node_name),
        ("priorityClassName", spec.priority_class_name),
        ("serviceAccountName", spec.service_account_name),
    ):
        if text and not names.is_subdomain(text):
            yield Problem(f"{field}.{part}", names.SUBDOMAIN_RULE)
    for part, text in (("hostname", spec.hostname), ("subdomain", spec.subdomain)):
        if text and not names.is_label(text):
            yield Problem(f"{field}.{part}", names.LABEL_RULE)


def _twice(texts: Iterable[str], field: str, part: str) -> Iterator[Problem]:
    texts = tuple(texts)
    if len(texts) == len(frozenset(texts)):
        return
    for text, count in Counter(texts).items():
        if text and count > 1:
            yield Problem(field, f"{part} {text!r} is used {count} times", "FieldValueDuplicate")


def _container(container: Container, volumes: set[str], field: str) -> Iterator[Problem]:
    if not names.is_label(container.name):
        yield Problem(f"{field}.name", names.LABEL_RULE)
    if len(container.image) > 255 or not _IMAGE.match(container.image):
        yield Problem(f"{field}.image", "must be an image reference such as busybox:1.36")
    if container.working_dir and not is_absolute(container.working_dir):
        yield Problem(f"{field}.workingDir", "must be an absolute path without '..'")
    if _first_part(container.working_dir) == "proc":
        # CVE-2024-21626: a working directory under /proc/self/fd reaches the host.
        yield Problem(f"{field}.workingDir", "must not be under /proc", "FieldValueForbidden")
    if not is_absolute(container.termination_message_path):
        yield Problem(f"{field}.terminationMessagePath", "must be an absolute path without '..'")
    yield from env_problems(container, field)
    if container.security_context is not None:
        yield from security_problems(container.security_context, f"{field}.securityContext")
    yield from _ports(container.ports, f"{field}.ports")
    yield from _mounts(container, volumes, field)
    yield from container_problems(container.resources, f"{field}.resources")


def _init_problems(container: Container, field: str) -> Iterator[Problem]:
    """Yield what only a container may have that runs on."""
    for part, value in (
        ("lifecycle", container.lifecycle),
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if value is not None:
            message = "may not be set for init containers without restartPolicy=Always"
            yield Problem(f"{field}.{part}", message, "FieldValueForbidden")


def _lasting_problems(container: Container, grace_s: int, field: str) -> Iterator[Problem]:
    """Yield what is wrong with the hooks and probes of a container that runs on."""
    if container.lifecycle is not None:
        yield from hook_problems(container.lifecycle, grace_s, f"{field}.lifecycle")
    if container.liveness_probe is not None:
        yield from ending_problems(container.liveness_probe, f"{field}.livenessProbe")
    if container.startup_probe is not None:
        yield from ending_problems(container.startup_probe, f"{field}.startupProbe")
    if container.readiness_probe is not None:
        yield from readiness_problems(container.readiness_probe, f"{field}.readinessProbe")


def _ports(ports: tuple[ContainerPort, ...], field: str) -> Iterator[Problem]:
    for index, port in enumerate(ports):
        if port.name and not names.is_port_name(port.name):
            rule = "must be at most 15 lower-case letters, digits and '-', with a letter"
            yield Problem(f"{field}[{index}].name", rule)
        if port.host_ip and not is_address(port.host_ip):
            yield Problem(f"{field}[{index}].hostIP", "must be an IPv4 address")
    yield from _twice((port.name for port in ports), field, "name")
    numbers = (f"{port.container_port}/{port.protocol}" for port in ports)
    yield from _twice(numbers, field, "containerPort")


def _host_ports(spec: PodSpec, field: str) -> Iterator[Problem]:
    taken = (
        f"{port.host_ip or '0.0.0.0'}:{port.host_port}/{port.protocol}"  # noqa: S104  a wildcard
        for container in lasting_containers(spec)
        for port in container.ports
        if port.host_port
    )
    yield from _twice(taken, f"{field}.containers", "hostPort")


def _mounts(container: Container, volumes: set[str], field: str) -> Iterator[Problem]:
    own = container.security_context
    is_privileged = own is not None and bool(own.privileged)
    for index, mount in enumerate(container.volume_mounts):
        where = f"{field}.volumeMounts[{index}]"
        if mount.name not in volumes:
            yield Problem(f"{where}.name", f"{mount.name[:63]!r} is not one of the pod's volumes")
        yield from mount_problems(mount, where, is_privileged=is_privileged)
    paths = (mount.mount_path for mount in container.volume_mounts)
    yield from _twice(paths, f"{field}.volumeMounts", "mountPath")


def _first_part(path: str) -> str:
    """Return the folder under the root that a path leads into, however it is spelt."""
    return next((part for part in path.split("/") if part not in ("", ".")), "")
