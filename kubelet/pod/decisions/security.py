"""As whom a container runs and what it may do: from its pod's words to the runtime's. Pure."""

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.security.context import (
    Capabilities,
    PodSecurityContext,
    SecurityContext,
    plain,
)
from kubelet.objects.origins import CONFIG_ERROR
from kubelet.runtime.driver import RuntimeTrouble, Security

ROOT = 0
STRICT, LOCAL = "Strict", "Localhost"


def needs_image_user(pod: Pod, wanted: Wanted) -> bool:
    """Whether it must be known as whom the image's program would run."""
    of_pod, own = _contexts(pod, wanted)
    user = _own_or(own.run_as_user, of_pod.run_as_user)
    is_asked = _own_or(own.run_as_non_root, of_pod.run_as_non_root)
    group = _own_or(own.run_as_group, of_pod.run_as_group)
    is_strict = of_pod.supplemental_groups_policy == STRICT
    return user is None and (bool(is_asked) or is_strict or group is not None)


def seccomp_file_of(pod: Pod, wanted: Wanted) -> str:
    """Return the file of the node with a container's seccomp profile; empty where it has none."""
    of_pod, own = _contexts(pod, wanted)
    profile = own.seccomp_profile or of_pod.seccomp_profile
    return profile.localhost_profile if profile is not None and profile.type == LOCAL else ""


def security_of(pod: Pod, wanted: Wanted, image_user: str = "", seccomp: str = "") -> Security:
    """Return what the runtime is told of the container's rights.

    image_user: as whom the image's program would run: a number, a name, or nothing, which is root.
    seccomp: the profile of its file.

    Raises: RuntimeTrouble: it would, or might, run as root and must not.
    """
    of_pod, own = _contexts(pod, wanted)
    user = _own_or(own.run_as_user, of_pod.run_as_user)
    group = _own_or(own.run_as_group, of_pod.run_as_group)
    name = image_user.partition(":")[0]
    if _own_or(own.run_as_non_root, of_pod.run_as_non_root):
        _refuse_root(pod, wanted, user, name)
    said = str(user) if user is not None else ""
    if group is not None:
        said = f"{said or name or ROOT}:{group}"
    elif of_pod.supplemental_groups_policy == STRICT:
        said = _strict_user(wanted, user, image_user)
    groups = of_pod.supplemental_groups
    if of_pod.fs_group is not None and of_pod.fs_group not in groups:
        groups = (*groups, of_pod.fs_group)
    capabilities = own.capabilities or Capabilities()
    added = tuple(map(plain, capabilities.add))
    is_privileged = bool(own.privileged)
    may_gain = own.allow_privilege_escalation or is_privileged or "SYS_ADMIN" in added
    profile = own.seccomp_profile or of_pod.seccomp_profile
    return Security(
        user=said,
        groups=groups,
        is_privileged=is_privileged,
        may_gain=bool(may_gain),
        is_root_read_only=bool(own.read_only_root_filesystem),
        capabilities_added=added,
        capabilities_dropped=tuple(map(plain, capabilities.drop)),
        is_unconfined=profile is not None and profile.type == "Unconfined",
        seccomp=seccomp,
    )


def _strict_user(wanted: Wanted, user: int | None, image_user: str) -> str:
    """Return a user with a group: only where a group is named does the engine add no others.

    Raises: RuntimeTrouble: which group is the user's own stands in the image, where nobody looks.
    """
    name, _, group = image_user.partition(":")
    if user is None and group:
        return image_user
    if user in (ROOT, None) and name in ("", "root", str(ROOT)):
        return f"{ROOT}:{ROOT}"
    message = f"container {wanted.name}: supplementalGroupsPolicy Strict needs runAsGroup here"
    raise RuntimeTrouble(CONFIG_ERROR, message)


def sysctls_of(pod: Pod) -> dict[str, str]:
    """Return the settings of the kernel in the pod's own namespaces."""
    return {one.name.replace("/", "."): one.value for one in pod.spec.security_context.sysctls}


def _contexts(pod: Pod, wanted: Wanted) -> tuple[PodSecurityContext, SecurityContext]:
    return pod.spec.security_context, wanted.security_context or SecurityContext()


def _own_or[T](own: T | None, of_pod: T | None) -> T | None:
    return own if own is not None else of_pod


def _refuse_root(pod: Pod, wanted: Wanted, user: int | None, name: str) -> None:
    """Raise where the container would or might run as root; in Kubernetes' words."""
    meta = pod.metadata
    which = f'(pod: "{meta.name}_{meta.namespace}({meta.uid})", container: {wanted.name})'
    why = ""
    if user == ROOT:
        why = "container's runAsUser breaks non-root policy"
    elif user is None and name.isdecimal() and int(name) != ROOT:
        return
    elif user is None and name and not name.isdecimal():
        why = (
            f"container has runAsNonRoot and image has non-numeric user ({name}), "
            "cannot verify user is non-root"
        )
    elif user is None:
        why = "container has runAsNonRoot and image will run as root"
    if why:
        raise RuntimeTrouble(CONFIG_ERROR, f"{why} {which}")
