"""The Pod Security Standards as a table: each control, its fields, Kubernetes' sentences. Pure.

A control looks at a pod's metadata and spec. Fields that this API does not have (appArmorProfile,
seLinuxOptions, windowsOptions, procMount other than Default) cannot be set, and have no control.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from apiserver.strategies.admission.podsecurity.levels import Level, Standard
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.probes.probe import LifecycleHandler, Probe
from cubernetes.api.core.podspec.security.context import (
    Capabilities,
    SeccompProfile,
    SecurityContext,
)
from cubernetes.api.core.podspec.spec import PodSpec, every_program
from cubernetes.api.core.podspec.volumes.volume import Volume

type Notes = Mapping[str, str]  # the annotations of a pod

APPARMOR_NOTE = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_POD_NOTE = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_NOTE = "container.seccomp.security.alpha.kubernetes.io/"
# From this version on seccomp is a field, and no annotation any more.
SECCOMP_FIELD_SINCE = 19
DEFAULT_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
        "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
# Each with the version since which it counts as safe.
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
}
UNRESTRICTED_VOLUMES = frozenset(
    {"config_map", "downward_api", "empty_dir", "persistent_volume_claim", "projected", "secret"}
)
NOTHING = SecurityContext()


class Violation(NamedTuple):
    """What of a standard a pod violates: in a few words, and where."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


# From a pod's annotations, its spec, and the minor version of the standard.
type Check = Callable[[Notes, PodSpec, int], Violation | None]


class Control(NamedTuple):
    """One line of the standards.

    since: the version that brought it. replaced_since: the version from which a stricter control of
    `restricted` tells the same.
    """

    name: str
    level: Level
    check: Check
    since: int = 0
    replaced_since: int | None = None


def violations(standard: Standard, notes: Notes, spec: PodSpec) -> Iterator[Violation]:
    """Yield what of a standard a pod violates, in Kubernetes' order."""
    if standard.level == "privileged":
        return
    minor, is_restricted = standard.minor, standard.level == "restricted"
    for one in CONTROLS:
        replaced = one.replaced_since
        if one.since > minor or (one.level == "restricted" and not is_restricted):
            continue
        if is_restricted and replaced is not None and replaced <= minor:
            continue
        if found := one.check(notes, spec, minor):
            yield found


def _apparmor(notes: Notes, _: PodSpec, __: int) -> Violation | None:
    bad = sorted(
        f'{key}="{value}"'
        for key, value in notes.items()
        if key.startswith(APPARMOR_NOTE)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    if not bad:
        return None
    whose = _plural("annotation", bad)
    reason = _plural("forbidden AppArmor profile", bad)
    return Violation(reason, f"{whose} must not set AppArmor profile type to {_quoted(bad)}")


def _capabilities(_: Notes, spec: PodSpec, __: int) -> Violation | None:
    detail = _added_beyond(DEFAULT_CAPABILITIES, spec)
    return Violation("non-default capabilities", detail) if detail else None


def _host_namespaces(_: Notes, spec: PodSpec, __: int) -> Violation | None:
    shared = {"hostNetwork": spec.host_network, "hostPID": spec.host_pid, "hostIPC": spec.host_ipc}
    bad = [f"{name}=true" for name, is_shared in shared.items() if is_shared]
    return Violation("host namespaces", ", ".join(bad)) if bad else None


def _host_paths(_: Notes, spec: PodSpec, __: int) -> Violation | None:
    bad = [one.name for one in spec.volumes if one.host_path is not None]
    return Violation("hostPath volumes", _named("volume", bad)) if bad else None


def _host_ports(_: Notes, spec: PodSpec, __: int) -> Violation | None:
    bad: dict[str, list[str]] = {}
    for one in every_program(spec):
        if taken := [str(port.host_port) for port in one.ports if port.host_port]:
            bad[one.name] = taken
    if not bad:
        return None
    ports = sorted({port for each in bad.values() for port in each})
    listed = f"{_plural('hostPort', ports)} {', '.join(ports)}"
    return Violation("hostPort", f"{_using(list(bad))} {listed}")


def _probe_hosts(_: Notes, spec: PodSpec, __: int) -> Violation | None:
    bad = {one.name: each for one in every_program(spec) if (each := set(_hosts_of(one)))}
    if not bad:
        return None
    hosts = sorted({host for each in bad.values() for host in each})
    listed = f"{_plural('probe or lifecycle host', hosts)} {_quoted(hosts)}"
    return Violation("probe or lifecycle host", f"{_using(sorted(bad))} {listed}")


def _privileged(_: Notes, spec: PodSpec, __: int) -> Violation | None:
    bad = _where(spec, lambda one: bool(one.privileged))
    detail = f"{_named('container', bad)} must not set securityContext.privileged=true"
    return Violation("privileged", detail) if bad else None


def _seccomp(notes: Notes, spec: PodSpec, minor: int) -> Violation | None:
    return _seccomp_notes(notes, spec) if minor < SECCOMP_FIELD_SINCE else _seccomp_field(spec)


def _seccomp_notes(notes: Notes, spec: PodSpec) -> Violation | None:
    keys = [SECCOMP_POD_NOTE, *(f"{SECCOMP_NOTE}{one.name}" for one in every_program(spec))]
    bad = sorted(
        f'{key}="{value}"'
        for key in keys
        if (value := notes.get(key)) is not None
        and value not in ("runtime/default", "docker/default")
        and not value.startswith("localhost/")
    )
    detail = f"forbidden {_plural('annotation', bad)} {', '.join(bad)}"
    return Violation("seccompProfile", detail) if bad else None


def _seccomp_field(spec: PodSpec) -> Violation | None:
    of_pod = spec.security_context.seccomp_profile
    bad = _where(spec, lambda one: _is_unconfined(one.seccomp_profile))
    if not (whose := _setters(bad, is_pod=_is_unconfined(of_pod))):
        return None
    told = f'{whose} must not set securityContext.seccompProfile.type to "Unconfined"'
    return Violation("seccompProfile", told)


def _seccomp_restricted(_: Notes, spec: PodSpec, __: int) -> Violation | None:
    if found := _seccomp_field(spec):
        return found
    if spec.security_context.seccomp_profile is not None:
        return None
    bad = _where(spec, lambda one: one.seccomp_profile is None)
    rule = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", f"pod or {_named('container', bad)} {rule}") if bad else None


def _sysctls(_: Notes, spec: PodSpec, minor: int) -> Violation | None:
    names = [one.name for one in spec.security_context.sysctls]
    bad = [name for name in names if SAFE_SYSCTLS.get(name, minor + 1) > minor]
    return Violation("forbidden sysctls", ", ".join(bad)) if bad else None


def _escalation(_: Notes, spec: PodSpec, __: int) -> Violation | None:
    bad = _where(spec, lambda one: one.allow_privilege_escalation is not False)
    rule = "must set securityContext.allowPrivilegeEscalation=false"
    told = f"{_named('container', bad)} {rule}"
    return Violation("allowPrivilegeEscalation != false", told) if bad else None


def _capabilities_restricted(_: Notes, spec: PodSpec, __: int) -> Violation | None:
    kept = _where(spec, lambda one: "ALL" not in (one.capabilities or Capabilities()).drop)
    rule = 'must set securityContext.capabilities.drop=["ALL"]'
    details = [f"{_named('container', kept)} {rule}"] if kept else []
    details += [told] if (told := _added_beyond(frozenset({"NET_BIND_SERVICE"}), spec)) else []
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def _volumes(_: Notes, spec: PodSpec, __: int) -> Violation | None:
    bad = {one.name: each for one in spec.volumes if (each := _restricted_sources(one))}
    if not bad:
        return None
    kinds = sorted({kind for each in bad.values() for kind in each})
    listed = f"{_plural('restricted volume type', kinds)} {_quoted(kinds)}"
    return Violation("restricted volume types", f"{_using(list(bad), 'volume')} {listed}")


def _non_root(_: Notes, spec: PodSpec, __: int) -> Violation | None:
    of_pod, reason = spec.security_context.run_as_non_root, "runAsNonRoot != true"
    bad = _where(spec, lambda one: one.run_as_non_root is False)
    if whose := _setters(bad, is_pod=of_pod is False):
        return Violation(reason, f"{whose} must not set securityContext.runAsNonRoot=false")
    silent = [] if of_pod else _where(spec, lambda one: one.run_as_non_root is None)
    told = f"pod or {_named('container', silent)} must set securityContext.runAsNonRoot=true"
    return Violation(reason, told) if silent else None


def _root_user(_: Notes, spec: PodSpec, __: int) -> Violation | None:
    bad = _where(spec, lambda one: one.run_as_user == 0)
    whose = _setters(bad, is_pod=spec.security_context.run_as_user == 0)
    return Violation("runAsUser=0", f"{whose} must not set runAsUser=0") if whose else None


def _where(spec: PodSpec, is_bad: Callable[[SecurityContext], bool]) -> list[str]:
    """Return the names of the containers whose security context is so."""
    programs = every_program(spec)
    return [one.name for one in programs if is_bad(one.security_context or NOTHING)]


def _is_unconfined(profile: SeccompProfile | None) -> bool:
    return profile is not None and profile.type == "Unconfined"


def _added_beyond(allowed: frozenset[str], spec: PodSpec) -> str:
    bad: dict[str, set[str]] = {}
    for one in every_program(spec):
        capabilities = (one.security_context or NOTHING).capabilities or Capabilities()
        if more := set(capabilities.add) - allowed:
            bad[one.name] = more
    if not bad:
        return ""
    added = _quoted(sorted({name for each in bad.values() for name in each}))
    whose = _named("container", list(bad))
    return f"{whose} must not include {added} in securityContext.capabilities.add"


def _hosts_of(one: Container) -> Iterator[str]:
    hooks = one.lifecycle
    asked: Sequence[Probe | LifecycleHandler | None] = (
        one.liveness_probe,
        one.readiness_probe,
        one.startup_probe,
        hooks.post_start if hooks is not None else None,
        hooks.pre_stop if hooks is not None else None,
    )
    for each in asked:
        if each is not None and each.http_get is not None and each.http_get.host:
            yield each.http_get.host
        if isinstance(each, Probe) and each.tcp_socket is not None and each.tcp_socket.host:
            yield each.tcp_socket.host


def _restricted_sources(volume: Volume) -> tuple[str, ...]:
    """Return the sources that are restricted; one that this table does not know is, too."""
    sources = [(name, wire) for name, wire in _SOURCES if name not in UNRESTRICTED_VOLUMES]
    return tuple(wire for name, wire in sources if getattr(volume, name) is not None)


_SOURCES = tuple(
    (field.name, field.encode_name)
    for field in msgspec.structs.fields(Volume)
    if field.name != "name"
)


def _setters(containers: Sequence[str], *, is_pod: bool) -> str:
    named = [_named("container", containers)] if containers else []
    return " and ".join([*(["pod"] if is_pod else []), *named])


def _using(names: Sequence[str], kind: str = "container") -> str:
    return f"{_named(kind, names)} {'uses' if len(names) == 1 else 'use'}"


def _named(kind: str, names: Sequence[str]) -> str:
    return f"{_plural(kind, names)} {_quoted(names)}"


def _plural(kind: str, names: Sequence[str]) -> str:
    return kind if len(names) == 1 else f"{kind}s"


def _quoted(texts: Iterable[str]) -> str:
    return ", ".join(f'"{text}"' for text in texts)


# In the order in which Kubernetes tells of them: by level, then by name.
CONTROLS: tuple[Control, ...] = (
    Control("appArmorProfile", "baseline", _apparmor),
    Control("capabilities_baseline", "baseline", _capabilities, replaced_since=22),
    Control("hostNamespaces", "baseline", _host_namespaces),
    Control("hostPathVolumes", "baseline", _host_paths, replaced_since=0),
    Control("hostPorts", "baseline", _host_ports),
    Control("hostProbesAndHostLifecycle", "baseline", _probe_hosts, since=34),
    Control("privileged", "baseline", _privileged),
    Control("seccompProfile_baseline", "baseline", _seccomp, replaced_since=19),
    Control("sysctls", "baseline", _sysctls),
    Control("allowPrivilegeEscalation", "restricted", _escalation, since=8),
    Control("capabilities_restricted", "restricted", _capabilities_restricted, since=22),
    Control("restrictedVolumes", "restricted", _volumes),
    Control("runAsNonRoot", "restricted", _non_root),
    Control("runAsUser", "restricted", _root_user, since=23),
    Control("seccompProfile_restricted", "restricted", _seccomp_restricted, since=19),
)
