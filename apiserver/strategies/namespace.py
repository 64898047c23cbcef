"""Namespaces: nothing new in one that is terminating, and none goes before it is empty. Pure."""

from apiserver.state.keys import key_of
from apiserver.state.preconditions import Precondition
from apiserver.state.statuses import absent
from apiserver.strategies.strategy import Strategy
from cubernetes.api.coordination.road import ROAD_NAMESPACE
from cubernetes.api.core.namespace import Namespace, NamespaceStatus
from cubernetes.api.errors import Forbidden
from cubernetes.api.meta import Object, replaced

NAME_LABEL = "kubernetes.io/metadata.name"
# It stands in a namespace's spec until the namespace is empty.
FINALIZER = "kubernetes"
IMMORTAL = ("default", "kube-system", "kube-node-lease", ROAD_NAMESPACE)


class Namespaces(Strategy[Namespace]):
    """The finalizers of its spec are written through /finalize alone."""

    def prepared(self, new: Namespace) -> Namespace:
        labels = {**new.metadata.labels, NAME_LABEL: new.metadata.name}
        return replaced(
            new,
            metadata=replaced(new.metadata, labels=labels),
            spec=replaced(new.spec, finalizers=(FINALIZER,)),
            status=NamespaceStatus(),
        )

    def updated(self, old: Namespace, new: Namespace) -> Namespace:
        return replaced(super().updated(old, new), spec=old.spec)

    def deletion_refusal(self, name: str) -> str:
        return "this namespace may not be deleted" if name in IMMORTAL else ""

    def terminating(self, one: Namespace) -> Namespace:
        return replaced(one, status=NamespaceStatus(phase="Terminating"))

    def is_held(self, one: Namespace) -> bool:
        return bool(one.spec.finalizers)


def takes_objects(namespace: str) -> Precondition:
    """The namespace exists and is not terminating: what is created in it would be forgotten."""

    def check(found: Object | None) -> None:
        if not isinstance(found, Namespace):
            raise absent(Namespace.resource, namespace)
        if found.metadata.is_deleted or found.status.phase == "Terminating":
            message = (
                "unable to create new content in namespace "
                f"{namespace} because it is being terminated"
            )
            raise Forbidden(message, kind="namespaces", name=namespace)

    return Precondition(key_of(Namespace, "", namespace), check)
