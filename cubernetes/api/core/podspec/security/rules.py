"""What makes a security context legal."""

import re
from collections.abc import Iterator

from cubernetes.api.core.podspec.security.context import (
    Capabilities,
    PodSecurityContext,
    SeccompProfile,
    SecurityContext,
    plain,
)
from cubernetes.api.errors import Problem

# Those that Kubernetes calls safe: each is of the pod's own namespaces, and harms no other pod.
SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
# As the kernel takes a path.
PROFILE_CHARS_MAX = 4095
SYSCTL_CHARS_MAX = 253
_SYSCTL = re.compile(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*\Z")
SYSCTL_RULE = "must be the name of a sysctl, such as net.ipv4.tcp_syncookies"
_CAPABILITY = re.compile(r"(CAP_)?[A-Z][A-Z0-9_]{0,62}\Z")
CAPABILITY_RULE = "must be the name of a capability, such as NET_ADMIN, or ALL"


def pod_security_problems(security: PodSecurityContext, field: str) -> Iterator[Problem]:
    """Yield what is wrong with the security context of a pod."""
    yield from _seccomp_problems(security.seccomp_profile, f"{field}.seccompProfile")
    seen: set[str] = set()
    for index, one in enumerate(security.sysctls):
        where = f"{field}.sysctls[{index}].name"
        name = one.name.replace("/", ".")
        if name in seen:
            yield Problem(where, f"{name[:253]!r} is set twice", "FieldValueDuplicate")
        elif len(name) > SYSCTL_CHARS_MAX or not _SYSCTL.match(name):
            yield Problem(where, SYSCTL_RULE)
        seen.add(name)


def security_problems(security: SecurityContext, field: str) -> Iterator[Problem]:
    """Yield what is wrong with the security context of a container."""
    yield from _seccomp_problems(security.seccomp_profile, f"{field}.seccompProfile")
    capabilities = security.capabilities or Capabilities()
    for part, names in (("add", capabilities.add), ("drop", capabilities.drop)):
        for index, name in enumerate(names):
            if not _CAPABILITY.match(name):
                yield Problem(f"{field}.capabilities.{part}[{index}]", CAPABILITY_RULE)
    if security.allow_privilege_escalation is not False:
        return
    if security.privileged:
        message = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        yield Problem(field, message)
    if "SYS_ADMIN" in map(plain, capabilities.add):
        message = (
            "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
        )
        yield Problem(field, message)


def _seccomp_problems(profile: SeccompProfile | None, field: str) -> Iterator[Problem]:
    if profile is None:
        return
    field, path = f"{field}.localhostProfile", profile.localhost_profile
    if profile.type != "Localhost":
        if path:
            yield Problem(field, "may only be set when seccomp type is Localhost")
    elif not path:
        message = "must be set when seccomp type is Localhost"
        yield Problem(field, message, "FieldValueRequired")
    elif path.startswith("/"):
        yield Problem(field, "must be a relative path")
    elif ".." in path.split("/"):
        yield Problem(field, "must not contain '..'")
    elif "\x00" in path or len(path) > PROFILE_CHARS_MAX:
        yield Problem(field, f"must be a path of at most {PROFILE_CHARS_MAX} characters")
