"""Tolerations: how long a pod stays on a node that has become a bad place for it."""

from collections.abc import Iterator, Sequence
from math import inf
from typing import Annotated, Literal

import msgspec

from cubernetes.api.errors import Problem
from cubernetes.api.meta import Model

# The taint that Kubernetes gives a node which nobody hears any more.
UNREACHABLE = "node.kubernetes.io/unreachable"


class Toleration(Model):
    """Which taints of a node a pod bears; here it counts while its node is out of reach.

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

    @property
    def bears_silence(self) -> bool:
        """Whether it is about a node that is out of reach; that taint has no value."""
        is_every = not self.key and self.operator == "Exists"
        is_named = self.key == UNREACHABLE and (self.operator == "Exists" or not self.value)
        return (is_every or is_named) and self.effect in ("", "NoExecute")


def unreachable_s(tolerations: Sequence[Toleration]) -> float | None:
    """Return how long a pod says that it stays on a node out of reach; None where it says nothing.

    As in Kubernetes the shortest of the spans counts, and without any it is for ever.
    """
    borne = [one.toleration_seconds for one in tolerations if one.bears_silence]
    if not borne:
        return None
    return min((max(0, span_s) for span_s in borne if span_s is not None), default=inf)


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
