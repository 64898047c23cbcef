"""Which names a definition gets, and what is told of that. Pure.

As Kubernetes' naming controller does it: within a group each name is the first definition's that
asked for it; a definition with a name that another has is not served until it asks for another.
"""

from collections.abc import Collection, Iterable
from datetime import datetime

from cubernetes.api.apiextensions.customresourcedefinition import (
    CustomResourceDefinition,
    CustomResourceDefinitionStatus,
)
from cubernetes.api.condition import Condition, is_true, with_condition
from cubernetes.api.meta import replaced

ACCEPTED, ESTABLISHED, TERMINATING = "NamesAccepted", "Established", "Terminating"


def status_of(
    one: CustomResourceDefinition,
    others: Iterable[CustomResourceDefinition],
    reserved: Collection[str],
    now: datetime,
    *,
    is_emptied: bool = False,
) -> CustomResourceDefinitionStatus:
    """Return the status that a definition has among others.

    reserved: groups that are the server's own, in which nothing of others is served, also where it
    was before the server had the group. is_emptied: none of its objects is left.
    """
    status = one.status
    told = _conflicts(one, others, reserved)
    if told:
        reason, message = told[0] if len(told) == 1 else (
            "MultipleNamesNotAllowed", ", ".join(text for _, text in told)
        )  # fmt: skip
        accepted = Condition(type=ACCEPTED, status="False", reason=reason, message=message)
    else:
        status = replaced(status, accepted_names=one.spec.names)
        found = "no conflicts found"
        accepted = Condition(type=ACCEPTED, status="True", reason="NoConflicts", message=found)
    conditions = with_condition(status.conditions, accepted, now)
    if not told:
        met = "the initial names have been accepted"
        new = Condition(type=ESTABLISHED, status="True", reason="InitialNamesAccepted", message=met)
        conditions = with_condition(conditions, new, now)
    elif not is_established(one) or one.spec.group in reserved:
        unmet = "not all names are accepted"
        new = Condition(type=ESTABLISHED, status="False", reason="NotAccepted", message=unmet)
        conditions = with_condition(conditions, new, now)
    if one.metadata.is_deleted:
        conditions = with_condition(conditions, _terminating(is_emptied=is_emptied), now)
    return replaced(status, conditions=conditions)


def is_established(one: CustomResourceDefinition) -> bool:
    return is_true(one.status.conditions, ESTABLISHED)


def _terminating(*, is_emptied: bool) -> Condition:
    if is_emptied:
        reason, message = "InstanceDeletionCompleted", "removed all instances"
        return Condition(type=TERMINATING, status="False", reason=reason, message=message)
    reason, message = "InstanceDeletionInProgress", "CustomResource deletion is in progress"
    return Condition(type=TERMINATING, status="True", reason=reason, message=message)


def _conflicts(
    one: CustomResourceDefinition,
    others: Iterable[CustomResourceDefinition],
    reserved: Collection[str],
) -> list[tuple[str, str]]:
    """Return a reason and a sentence for each name that is another's."""
    group = one.spec.group
    if group in reserved:
        return [("GroupConflict", f'the group "{group}" is served by the API server itself')]
    words: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if other.spec.group == group and other.metadata.name != one.metadata.name:
            had = other.status.accepted_names
            words |= {had.plural, had.singular, *had.short_names}
            kinds |= {had.kind, had.list_kind}
    wanted = one.spec.names
    asked = (
        ("Plural", wanted.plural, words),
        ("Singular", wanted.singular, words),
        *(("ShortNames", short, words) for short in wanted.short_names),
        ("Kind", wanted.kind, kinds),
        ("ListKind", wanted.list_kind, kinds),
    )
    return [
        (f"{field}Conflict", f'"{name}" is already in use')
        for field, name, taken in asked
        if name and name in taken
    ]
