"""Namespaces: nothing new in one that is terminating, and none goes before it is empty. Pure."""

from collections.abc import Iterable, Iterator
from typing import cast

from apiserver.state.items import Seen
from apiserver.state.keys import key_of
from apiserver.state.preconditions import Precondition
from apiserver.state.statuses import absent
from apiserver.strategies.admission.podsecurity.judging import warnings_for
from apiserver.strategies.admission.podsecurity.levels import label_problems, policy_of
from apiserver.strategies.strategy import ADMITTED, Cluster, Strategy, Verdict
from cubernetes.api.coordination.road import ROAD_NAMESPACE
from cubernetes.api.core.namespace import Namespace, NamespaceStatus
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import Forbidden, Problem
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

    def creation_problems(self, new: Namespace) -> Iterator[Problem]:
        return label_problems(new.metadata.labels)

    def update_problems(self, old: Namespace, new: Namespace) -> Iterator[Problem]:
        """Yield what is wrong with labels that have changed; what stood before stays."""
        before = set(label_problems(old.metadata.labels))
        return (one for one in label_problems(new.metadata.labels) if one not in before)

    def verdict(
        self,
        cluster: Cluster,
        subresource: str,
        old: Namespace | None,
        new: Namespace,
        seen: Seen,  # noqa: ARG002
    ) -> Verdict:
        """Warn of the pods that the namespace's new level would refuse."""
        name, settings = new.metadata.name, cluster.settings
        if old is None or subresource or name in settings.pod_security_exempt:
            return ADMITTED
        default = settings.pod_security
        before, now = (policy_of(one.metadata.labels, default).enforce for one in (old, new))
        pods = cast(Iterable[Pod], cluster.within(Pod, name))
        return Verdict(warnings=warnings_for(name, before, now, pods))

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
