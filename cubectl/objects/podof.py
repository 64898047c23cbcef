"""Which pod a word means where one is enough: its name, or a thing with a selector: deploy/web."""

from typing import Any, NamedTuple

from cubectl.objects.targets import PODS, Target, targets_in
from cubectl.session import Failed, Misused, Session
from cubernetes.api.notation.jsontext import Tree
from cubernetes.client.wire.queries import selection_query


class PodTarget(NamedTuple):
    """A pod, and the service by which it was asked for, where it was one."""

    pod: Tree
    service: Tree | None = None

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])


def pod_of(word: str, session: Session) -> PodTarget:
    """Return the pod that a word means; of several that a selector finds, one that is ready.

    Raises: Misused, Failed: the word means nothing that has pods, or none of them runs.
    """
    if "/" not in word:
        return PodTarget(session.api.get(PODS, word, session.namespace))
    (target,) = targets_in([word], session.kinds)
    tree = session.api.get(target.kind, target.name, session.namespace)
    if (target.kind.group, target.kind.plural) == ("", PODS.plural):
        return PodTarget(tree)
    labels = _selector_of(tree, target, word)
    text = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    pods = session.api.list(PODS, session.namespace, selection_query(text, "")).items
    running = [pod for pod in pods if is_running(pod)]
    if not running:
        raise Failed(f"{word}: none of its {len(pods)} pods is running")
    best = min(running, key=lambda pod: (not is_ready(pod), str(pod["metadata"]["name"])))
    return PodTarget(best, tree if target.kind.plural == "services" else None)


def is_running(pod: Tree) -> bool:
    is_deleted = bool(pod["metadata"].get("deletionTimestamp"))
    return (pod.get("status") or {}).get("phase") == "Running" and not is_deleted


def is_ready(pod: Tree) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _selector_of(tree: Tree, target: Target, word: str) -> dict[str, Any]:
    """Return the labels by which an object finds its pods. Raises: Misused."""
    selector = (tree.get("spec") or {}).get("selector")
    if isinstance(selector, dict) and target.kind.plural != "services":
        selector = selector.get("matchLabels")
    if not isinstance(selector, dict) or not selector:
        raise Misused(f"{word!r}: it has no selector, so no pods can be found by it")
    return selector
