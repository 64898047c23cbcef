"""PriorityClass: how much pods matter, under a name."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec

from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Object, ObjectMeta, age_of, immutable, shown
from cubernetes.api.resource import Resource

USER_VALUE_MAX = 1_000_000_000
DESCRIPTION_CHARS_MAX = 4096
SYSTEM_PREFIX = "system-"
type PreemptionPolicy = Literal["PreemptLowerPriority", "Never"]


class PriorityClass(Object):
    """How much the pods that name it matter.

    value: a pod of a higher one is placed first, and takes the place of others where it must.
    global_default: whether it is that of pods which name none; of several the lowest is.
    description: for whom it is meant; kept for clients.
    preemption_policy: Never lets its pods wait until there is room, before those of lower value.
    """

    resource = Resource(
        "scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", ("pc",), namespaced=False
    )
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Value", lambda one, _: one.value),
        Column("Global-Default", lambda one, _: str(one.global_default).lower()),
        Column("Age", age_of),
        Column("PreemptionPolicy", lambda one, _: one.preemption_policy),
    )

    api_version: str = shown("scheduling.k8s.io/v1")
    kind: str = shown("PriorityClass")
    value: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
    global_default: bool = False
    description: str = ""
    preemption_policy: PreemptionPolicy = shown("PreemptLowerPriority")

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        if len(self.description) > DESCRIPTION_CHARS_MAX:
            told = f"must have at most {DESCRIPTION_CHARS_MAX} characters"
            yield Problem("description", told)
        name = self.metadata.name
        if name.startswith(SYSTEM_PREFIX):
            if (name, self.value) not in SYSTEM_VALUES.items():
                told = "priority class names with 'system-' prefix are reserved for system use only"
                yield Problem("metadata.name", told, "FieldValueForbidden")
        elif self.value > USER_VALUE_MAX:
            told = f"maximum allowed value of a user defined priority is {USER_VALUE_MAX}"
            yield Problem("value", told, "FieldValueForbidden")

    def update_problems(self, old: "PriorityClass") -> Iterator[Problem]:
        if old.value != self.value:
            yield Problem("value", "may not be changed in an update.", "FieldValueForbidden")
        yield from immutable("preemptionPolicy", old.preemption_policy, self.preemption_policy)


SYSTEM_VALUES = {
    "system-cluster-critical": 2_000_000_000,
    "system-node-critical": 2_000_001_000,
}
SYSTEM = tuple(
    PriorityClass(metadata=ObjectMeta(name=name), value=value)
    for name, value in SYSTEM_VALUES.items()
)


def default_of(classes: Iterable[PriorityClass]) -> PriorityClass | None:
    """Return the class of pods that name none: of several defaults the lowest, then by name."""
    defaults = (one for one in classes if one.global_default)
    return min(defaults, key=lambda one: (one.value, one.metadata.name), default=None)
