"""As whom a pod's containers run, and what the kernel lets them do."""

from typing import Annotated, Literal

import msgspec

from cubernetes.api.meta import Model

# A user's or a group's number, by Kubernetes' bounds.
type Id = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class Capabilities(Model):
    """What of root's might a container has, by Linux' names without `CAP_`; ALL is each of them.

    add: what it has beyond the runtime's default.
    drop: what it has not; `add` wins.
    """

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SeccompProfile(Model):
    """Which calls of the kernel are refused.

    type: RuntimeDefault is the runtime's own list, also where nothing is said; Unconfined refuses
        none; Localhost is a file of the node.
    localhost_profile: the file, below `seccomp` in the kubelet's folder; of Localhost alone.
    """

    type: Literal["RuntimeDefault", "Unconfined", "Localhost"]
    localhost_profile: str = ""


class Sysctl(Model):
    """A setting of the kernel, in the pod's own namespaces.

    name: which; only those that Kubernetes calls safe.
    value: what it is set to.
    """

    name: str
    value: str


class PodSecurityContext(Model):
    """What holds for all containers of a pod, where they say nothing themselves.

    run_as_user: the user's number; left out, the image says.
    run_as_group: the group's number; left out, the image says.
    run_as_non_root: a container whose user is root, or may be, does not start.
    supplemental_groups: groups that processes are in besides.
    fs_group: a group that processes are in besides, and that owns the pod's volumes.
    supplemental_groups_policy: Merge, also where nothing is said, adds the groups that the image
        says of its user; Strict does not.
    fs_group_change_policy: when the volumes of claims are given to `fsGroup`, with all that is in
        them: Always, also where nothing is said, for each pod; OnRootMismatch only where the
        volume's own folder is not the group's.
    seccomp_profile: which calls of the kernel are refused.
    sysctls: settings of the kernel, in the pod's own namespaces.
    """

    run_as_user: Id | None = None
    run_as_group: Id | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: Annotated[tuple[Id, ...], msgspec.Meta(max_length=256)] = ()
    supplemental_groups_policy: Literal["Merge", "Strict"] | None = None
    fs_group: Id | None = None
    fs_group_change_policy: Literal["Always", "OnRootMismatch"] | None = None
    seccomp_profile: SeccompProfile | None = None
    sysctls: Annotated[tuple[Sysctl, ...], msgspec.Meta(max_length=64)] = ()


class SecurityContext(Model):
    """As whom a container runs, and what it may do; it wins over the pod's.

    run_as_user: the user's number; left out, the pod or the image says.
    run_as_group: the group's number; left out, the pod or the image says.
    run_as_non_root: it does not start where its user is root, or may be.
    read_only_root_filesystem: it writes to volumes alone.
    privileged: it may do what root of the node may.
    allow_privilege_escalation: programs may have more rights than who starts them, as `sudo` does;
        left out, they may not, unless the container is privileged or has SYS_ADMIN.
    capabilities: what of root's might it has.
    proc_mount: Default hides and protects parts of /proc; it is the only value without namespaces
        of users.
    seccomp_profile: which calls of the kernel are refused.
    """

    run_as_user: Id | None = None
    run_as_group: Id | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool | None = None
    privileged: bool | None = None
    allow_privilege_escalation: bool | None = None
    capabilities: Capabilities | None = None
    proc_mount: Literal["Default"] | None = None
    seccomp_profile: SeccompProfile | None = None


def plain(capability: str) -> str:
    """Return a capability's name without its prefix: NET_RAW for CAP_NET_RAW."""
    return capability.removeprefix("CAP_")
