"""What single kinds ask for beyond the common rules, at creation and at updates."""

from collections.abc import Iterator
from typing import Any, cast

from cubernetes.api.core.namespace import Namespace, NamespaceStatus
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod, PodStatus
from cubernetes.api.core.qos import qos_of
from cubernetes.api.core.service import Service
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Object, replaced

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
# It stands in a namespace's spec until the namespace is empty.
NAMESPACE_FINALIZER = "kubernetes"
IMMORTAL_NAMESPACES = ("default", "kube-system", "kube-node-lease")


def prepared(one: Object) -> Object:
    """Return a new object with the beginnings that its kind gives it; status is never the user's.

    A node keeps its status: its kubelet registers it with what it has found.
    """
    match one:
        case Node():
            return one
        case Namespace():
            labels = {**one.metadata.labels, NAMESPACE_LABEL: one.metadata.name}
            return replaced(
                one,
                metadata=replaced(one.metadata, labels=labels),
                spec=replaced(one.spec, finalizers=(NAMESPACE_FINALIZER,)),
                status=NamespaceStatus(),
            )
        case Pod():
            return replaced(one, status=PodStatus(qos_class=qos_of(one.spec)))
        case _ if "status" in one.resource.subresources:
            return with_status(one, type(cast(Any, one).status)())
        case _:
            return one


def with_status[O: Object](one: O, status: object) -> O:
    return replaced(one, status=status)


def updated(old: Object, new: Object) -> Object:
    """Return new as an update of the main resource makes it: the status stays as it was."""
    if "status" in new.resource.subresources:
        new = with_status(new, cast(Any, old).status)
    match old, new:
        case Namespace(), Namespace():
            return replaced(new, spec=old.spec)
        case Service(), Service() if not new.spec.cluster_ip:
            # Who leaves it out, as `apply` does, means the address that it was given.
            return replaced(new, spec=replaced(new.spec, cluster_ip=old.spec.cluster_ip))
        case _:
            return new


def update_problems(old: Object, new: Object) -> Iterator[Problem]:
    if isinstance(old, Pod) and isinstance(new, Pod) and old.spec.node_name != new.spec.node_name:
        message = "field is immutable: a binding sets it, once"
        yield Problem("spec.nodeName", message, "FieldValueForbidden")
