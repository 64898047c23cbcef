"""componentstatuses: whether each part of the control plane is well, as it is found now. Pure.

A program of ours is well while it follows the API: then it has a watch open here. It is looked at
when somebody asks, so that there is nothing to watch and nothing to keep.
"""

from collections.abc import Callable, Iterator

from apiserver.auth.authorize import CONTROLLERS, SCHEDULER
from cubernetes.api.core.views.componentstatus import ComponentCondition, ComponentStatus
from cubernetes.api.meta import ObjectMeta

KIND = ComponentStatus
STORE = "etcd-0"
# By the names that Kubernetes gives them.
PROGRAMS = {"controller-manager": CONTROLLERS, "scheduler": SCHEDULER}


def component_statuses(
    watches_of: Callable[[str], int], store_trouble: str
) -> Iterator[ComponentStatus]:
    """Yield every part in the order of names; store_trouble is empty where the store answers."""
    troubles = {STORE: store_trouble}
    for name, user in PROGRAMS.items():
        troubles[name] = "" if watches_of(user) else f"{user} watches nothing"
    for name, trouble in sorted(troubles.items()):
        condition = ComponentCondition(
            status="False" if trouble else "True", message=trouble or "ok"
        )
        yield ComponentStatus(metadata=ObjectMeta(name=name), conditions=(condition,))
