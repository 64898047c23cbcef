"""Tolerations: which taints of a node a pod bears, and for how long."""

from collections.abc import Container, Iterator, Sequence
from math import inf
from typing import Annotated, Literal

import msgspec

from cubernetes.api.core.node import Taint
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Model, replaced

# The taint that Kubernetes gives a node which nobody hears any more.
UNREACHABLE = "node.kubernetes.io/unreachable"
_OUT_OF_REACH = Taint(key=UNREACHABLE, effect="NoExecute")


class Toleration(Model):
    """Which taints of a node a pod bears. A node that is out of reach counts as tainted, too.

    key: the taint's key; empty, with the operator Exists, is every taint.
    operator: Exists bears every value of the key, Equal (and empty) only `value`.
    value: the taint's value.
    effect: what is borne: NoSchedule, PreferNoSchedule or NoExecute; empty is each of them.
    toleration_seconds: how long NoExecute is borne, from when it is noticed; unset is for ever.
    """

    key: str = ""
    operator: Literal["", "Exists", "Equal"] = ""
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    toleration_seconds: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)] | None = None

    def bears(self, taint: Taint) -> bool:
        """Whether a pod that has it bears the taint; an empty key or effect bears every one."""
        if self.effect not in ("", taint.effect) or self.key not in ("", taint.key):
            return False
        return self.operator == "Exists" or self.value == taint.value


def unborne(
    tolerations: Sequence[Toleration], taints: Sequence[Taint], effects: Container[str]
) -> Sequence[Taint]:
    """Return the taints of these effects that a pod with these tolerations does not bear."""
    return [
        taint
        for taint in taints
        if taint.effect in effects and not any(one.bears(taint) for one in tolerations)
    ]


def borne_s(tolerations: Sequence[Toleration], taint: Taint) -> float:
    """Return how long a pod with these tolerations bears a NoExecute taint, in seconds.

    0 where it does not, inf where it does for ever. As in Kubernetes the shortest span counts of
    all tolerations that bear it.
    """
    spans = [one.toleration_seconds for one in tolerations if one.bears(taint)]
    if not spans:
        return 0
    return min((max(0, span_s) for span_s in spans if span_s is not None), default=inf)


def unreachable_s(tolerations: Sequence[Toleration]) -> float | None:
    """Return how long a pod says that it stays on a node out of reach; None: it says nothing."""
    is_told = any(one.bears(_OUT_OF_REACH) for one in tolerations)
    return borne_s(tolerations, _OUT_OF_REACH) if is_told else None


def changed_problems(
    old: Sequence[Toleration], new: Sequence[Toleration], field: str
) -> Iterator[Problem]:
    """Yield what a pod that is there may not do to its tolerations: some may come, none may go."""
    left = {_timeless(one) for one in new}
    if any(_timeless(one) not in left for one in old):
        message = "existing toleration can not be modified except its tolerationSeconds"
        yield Problem(field, message, "FieldValueForbidden")


def _timeless(one: Toleration) -> Toleration:
    return replaced(one, toleration_seconds=None)


def toleration_problems(tolerations: Sequence[Toleration], field: str) -> Iterator[Problem]:
    """Yield what is wrong with the list of tolerations that stands at field."""
    for index, one in enumerate(tolerations):
        place = f"{field}[{index}]"
        if not one.key and one.operator != "Exists":
            yield Problem(f"{place}.operator", "must be Exists where key is empty")
        if one.operator == "Exists" and one.value:
            yield Problem(f"{place}.value", "must be empty where operator is Exists")
        if one.toleration_seconds is not None and one.effect != "NoExecute":
            yield Problem(f"{place}.effect", "must be NoExecute where tolerationSeconds is set")
