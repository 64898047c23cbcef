"""What keeps a deleted namespace: conditions that tell what is left, in Kubernetes' words. Pure.

A namespace that goes in its usual time is told nothing: each telling is a write.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from cubernetes.api.condition import Condition, condition_of, with_condition
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.meta import Object, replaced
from cubernetes.reconcile.plan import Action, RequeueAfter, UpdateStatus

CONTENT, FINALIZERS = "NamespaceContentRemaining", "NamespaceFinalizersRemaining"
# From a deletion to the first telling, and from one telling to the next.
TELL_S = 5.0
NAMED_MAX = 20


def told(namespace: Namespace, found: Sequence[Object], now: datetime) -> Iterator[Action]:
    """Yield the write that tells what is left, or when it is to be looked at again.

    namespace: one that is deleted. found: what is in it.
    """
    conditions = namespace.status.conditions
    last = condition_of(conditions, CONTENT)
    told_at = last.last_probe_time if last is not None else None
    since = told_at or namespace.metadata.deletion_timestamp
    wait_s = TELL_S if since is None else (since + timedelta(seconds=TELL_S) - now).total_seconds()
    if wait_s > 0:
        # Nothing is counted meanwhile: each object that goes is a look at the namespace.
        yield RequeueAfter(wait_s)
        return
    new = tuple(_conditions(found, now))
    if [_said(condition_of(conditions, one.type)) for one in new] == [_said(one) for one in new]:
        return
    for one in new:
        conditions = with_condition(conditions, one, now)
    status = replaced(namespace.status, conditions=conditions)
    yield UpdateStatus(replaced(namespace, status=status))


def _said(one: Condition | None) -> tuple[str, str] | None:
    return (one.status, one.message) if one is not None else None


def _conditions(found: Sequence[Object], now: datetime) -> Iterator[Condition]:
    """Yield both conditions; each says of how many objects of which resource."""
    at = now.replace(microsecond=0)
    kinds = Counter(f"{one.resource.plural}.{one.resource.group}" for one in found)
    yield Condition(
        type=CONTENT,
        status="True",
        reason="SomeResourcesRemain",
        message=f"Some resources are remaining: {_listed(kinds, ' has')}",
        last_probe_time=at,
    )
    finalizers = Counter(name for one in found for name in one.metadata.finalizers)
    kept_by = (
        f"Some content in the namespace has finalizers remaining: {_listed(finalizers, ' in')}"
    )
    yield Condition(
        type=FINALIZERS,
        status="True" if finalizers else "False",
        reason="SomeFinalizersRemain" if finalizers else "ContentHasNoFinalizers",
        message=kept_by if finalizers else "All content-preserving finalizers finished",
        last_probe_time=at,
    )


def _listed(counts: Counter[str], word: str) -> str:
    """Return the first names of many, with their numbers, in order."""
    named = sorted(counts.items())
    told_of = (f"{name}{word} {count} resource instances" for name, count in named[:NAMED_MAX])
    listed = ", ".join(told_of)
    left_count = len(named) - NAMED_MAX
    return f"{listed}, and {left_count} more" if left_count > 0 else listed
