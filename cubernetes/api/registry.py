"""Every kind there is: routes, storage, watches, client, CLI and example tests come from here."""

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.event import Event
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.secret import Secret
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.kinds import Kinds
from cubernetes.api.meta import Object

KINDS = Kinds(
    Namespace,
    Node,
    Pod,
    Service,
    EndpointSlice,
    ReplicaSet,
    Event,
    Lease,
    ConfigMap,
    Secret,
)


def kind_named(word: str) -> type[Object] | None:
    """Return the kind that a person means by `po`, `pod`, `Pods`, `ReplicaSet`; None if unknown.

    A group may follow: `replicasets.apps`.
    """
    return next((kind for kind in KINDS if kind.resource.is_called(word)), None)


def kind_of(api_version: str, kind: str) -> type[Object] | None:
    """Return the kind of a manifest's apiVersion and kind."""
    for one in KINDS:
        if (one.resource.api_version, one.resource.kind) == (api_version, kind):
            return one
    return None
