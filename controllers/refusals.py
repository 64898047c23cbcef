"""What the API refuses for good, told at the object for which it was to be done. Pure."""

from collections.abc import Iterator
from datetime import datetime

from cubernetes.api.meta import Object, Ref
from cubernetes.reconcile.plan import Action, Create, Delete, Record, View

REFUSED_CREATE, REFUSED_DELETE = "FailedCreate", "FailedDelete"


class RefusalsTold:
    """A planner of the first of its kinds; what the API refused it is told at that object."""

    kinds: tuple[type[Object], ...]

    def refused(
        self,
        key: Ref,
        action: Action,
        why: str,
        view: View,
        now: datetime,  # noqa: ARG002
    ) -> Iterator[Action]:
        yield from told(self.kinds[0], key, action, why, view)


def told(kind: type[Object], key: Ref, action: Action, why: str, view: View) -> Iterator[Record]:
    """Yield the Event that Kubernetes has for it."""
    owner = view.get(kind, key.name, key.namespace)
    if owner is None:
        return
    match action:
        case Create():
            yield Record(owner, REFUSED_CREATE, f"Error creating: {why}", "Warning")
        case Delete():
            yield Record(owner, REFUSED_DELETE, f"Error deleting: {why}", "Warning")
        case _:
            return
