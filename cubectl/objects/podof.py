"""Which pod a word means where one is enough: its name, or a thing with a selector: deploy/web."""

from typing import NamedTuple

from cubectl.objects.targets import PODS, Target, target_in
from cubectl.session import Failed, Misused, Session
from cubernetes.api.notation.jsontext import Tree
from cubernetes.client.wire.queries import Query, selection_query


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
    target = target_in(word, session.kinds)
    tree = session.api.get(target.kind, target.name, session.namespace)
    if (target.kind.group, target.kind.plural) == ("", PODS.plural):
        return PodTarget(tree)
    pods = session.api.list(PODS, session.namespace, _selection_of(tree, target, word)).items
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


def pods_behind(word: str, session: Session) -> Query:
    """Return how the pods of a thing with a selector are asked for: deploy/web. Raises: Misused."""
    target = target_in(word, session.kinds)
    tree = session.api.get(target.kind, target.name, session.namespace)
    return _selection_of(tree, target, word)


def _selection_of(tree: Tree, target: Target, word: str) -> Query:
    """Return by which labels an object finds its pods. Raises: Misused."""
    selector = (tree.get("spec") or {}).get("selector")
    said: list[str] = []
    if isinstance(selector, dict):
        is_plain = target.kind.plural in ("services", "replicationcontrollers")
        labels = selector if is_plain else selector.get("matchLabels") or {}
        said = [f"{name}={value}" for name, value in sorted(labels.items())]
        said += [] if is_plain else map(_condition, selector.get("matchExpressions") or ())
    if not said:
        raise Misused(f"{word!r}: it has no selector, so no pods can be found by it")
    return selection_query(",".join(said), "")


def _condition(one: Tree) -> str:
    """Return an expression of a selector as the API writes it in a query."""
    key, values = str(one["key"]), ",".join(one.get("values") or ())
    forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})",
             "Exists": key, "DoesNotExist": f"!{key}"}  # fmt: skip
    return forms[one["operator"]]
