"""Which pods of a node a drain takes away, which it leaves, and which forbid it. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource
from cubernetes.api.selectors import Selector

DAEMONSETS = Resource("apps", "v1", "DaemonSet", "daemonsets")
MIRROR = "kubernetes.io/config.mirror"
# What stands in the way, in kubectl's words, and the option that allows it.
UNMANAGED = "cannot delete Pods that declare no controller (use --force to override)"
OF_DAEMONS = "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)"
WITH_FILES = "cannot delete Pods with local storage (use --delete-emptydir-data to override)"


class Allowed(NamedTuple):
    """What the command line lets a drain do, and which pods it is about."""

    is_forced: bool = False
    are_daemons_ignored: bool = False
    are_files_given_up: bool = False
    pods: Selector = Selector()


class Choice(NamedTuple):
    """The pods that go; sentences with the names of the pods they are about.

    obstacles: why nothing may be done. warnings: what is done, or left, all the same.
    """

    going: Sequence[Tree]
    obstacles: Mapping[str, Sequence[str]]
    warnings: Mapping[str, Sequence[str]]


class Verdict(NamedTuple):
    goes: bool = False
    obstacle: str = ""
    warning: str = ""


def choice_of(
    pods: Sequence[Tree], allowed: Allowed, is_daemonset: Callable[[str, str], bool]
) -> Choice:
    """Tell the pods of a node apart, as kubectl does.

    is_daemonset: whether a DaemonSet of that namespace and name is there.
    """
    going: list[Tree] = []
    obstacles: dict[str, list[str]] = {}
    warnings: dict[str, list[str]] = {}
    for pod in pods:
        if not allowed.pods.matches(pod["metadata"].get("labels") or {}):
            continue
        verdict = _verdict(pod, allowed, is_daemonset)
        if verdict.obstacle:
            obstacles.setdefault(verdict.obstacle, []).append(place_of(pod))
        if verdict.warning:
            warnings.setdefault(verdict.warning, []).append(place_of(pod))
        if verdict.goes:
            going.append(pod)
    return Choice(going, obstacles, warnings)


def _verdict(pod: Tree, allowed: Allowed, is_daemonset: Callable[[str, str], bool]) -> Verdict:
    metadata = pod["metadata"]
    if MIRROR in (metadata.get("annotations") or {}):
        return Verdict()
    if is_over(pod):
        return Verdict(goes=True)
    owner = controller_of(pod)
    is_of_daemons = owner.get("kind") == DAEMONSETS.kind
    if is_of_daemons and is_daemonset(metadata["namespace"], owner["name"]):
        return _of_daemons(allowed)
    if has_files(pod) and not allowed.are_files_given_up:
        return Verdict(obstacle=WITH_FILES)
    # Where its DaemonSet is gone, nothing makes it again.
    if is_of_daemons or not owner:
        return _unmanaged(allowed)
    return Verdict(goes=True, warning="deleting Pods with local storage" if has_files(pod) else "")


def _of_daemons(allowed: Allowed) -> Verdict:
    if allowed.are_daemons_ignored:
        return Verdict(warning="ignoring DaemonSet-managed Pods")
    return Verdict(obstacle=OF_DAEMONS)


def _unmanaged(allowed: Allowed) -> Verdict:
    if allowed.is_forced:
        return Verdict(goes=True, warning="deleting Pods that declare no controller")
    return Verdict(obstacle=UNMANAGED)


def is_over(pod: Tree) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def has_files(pod: Tree) -> bool:
    """Whether a pod has files of its own, which go with it."""
    return any("emptyDir" in one for one in pod["spec"].get("volumes") or ())


def controller_of(pod: Tree) -> dict[str, Any]:
    """Return the owner that manages a pod; nothing where there is none."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((one for one in owners if one.get("controller")), {})


def place_of(pod: Tree) -> str:
    return f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"


def told_of(sentences: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a line for each sentence: it, and the pods."""
    return [f"{sentence}: {', '.join(places)}" for sentence, places in sentences.items()]
