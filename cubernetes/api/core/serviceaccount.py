"""ServiceAccount: who the programs in pods are before the API server."""

from cubernetes.api.core.event import ObjectReference
from cubernetes.api.core.parts.objectref import LocalObjectReference
from cubernetes.api.meta import Column, Object, age_of, shown
from cubernetes.api.resource import Resource

# The account of pods that name none.
DEFAULT = "default"
# The ConfigMap of each namespace by which its pods know the API server.
ROOT_CA = "kube-root-ca.crt"
# How the volumes with a token are called that the API server puts into pods.
TOKEN_VOLUME_PREFIX = "kube-api-access-"  # noqa: S105  a name


class ServiceAccount(Object):
    """Who the programs in a pod are before the API server: `system:serviceaccount:NAMESPACE:NAME`.

    It has no rights but those that roles bind to it. Each namespace has one named `default`.

    secrets: Kept for clients: nothing here, and nothing in Kubernetes, makes or mounts them any
        more.
    image_pull_secrets: Secrets with the logins of registries, for its pods that name none.
    automount_service_account_token: whether its pods have a token of it as a file; left out, yes.
        A pod's own field wins.
    """

    resource = Resource("", "v1", "ServiceAccount", "serviceaccounts", ("sa",), True, ("token",))
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Secrets", lambda one, _: len(one.secrets)),
        Column("Age", age_of),
    )

    api_version: str = shown("v1")
    kind: str = shown("ServiceAccount")
    secrets: tuple[ObjectReference, ...] = ()
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    automount_service_account_token: bool | None = None
