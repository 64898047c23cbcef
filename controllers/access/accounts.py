"""What every namespace has for its pods: the account `default`, and the API server's authority."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.serviceaccount import DEFAULT, ROOT_CA, ServiceAccount
from cubernetes.api.meta import Object, ObjectMeta, Ref, replaced
from cubernetes.reconcile.plan import Action, Create, Update, View

KEY = "ca.crt"
NOTE = {
    "kubernetes.io/description": "Contains a CA bundle that can be used to verify the "
    "kube-apiserver when using internal endpoints such as the internal service IP or "
    "kubernetes.default.svc."
}


class Accounts:
    """Plans by Namespace; root_ca is PEM, and where it is empty no namespace is given one."""

    name = "serviceaccount"
    kinds: tuple[type[Object], ...] = (Namespace, ServiceAccount, ConfigMap)

    def __init__(self, root_ca: str) -> None:
        self._root_ca = root_ca

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:  # noqa: ARG002
        if isinstance(changed, Namespace):
            yield changed.ref
        elif changed.metadata.name in (DEFAULT, ROOT_CA):
            yield Ref(Namespace.resource.kind, "", changed.metadata.namespace)

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:  # noqa: ARG002
        namespace = view.get(Namespace, key.name)
        if namespace is None or namespace.metadata.is_deleted:
            return
        if view.get(ServiceAccount, DEFAULT, key.name) is None:
            yield Create(ServiceAccount(metadata=ObjectMeta(name=DEFAULT, namespace=key.name)))
        if not self._root_ca:
            return
        data, found = {KEY: self._root_ca}, view.get(ConfigMap, ROOT_CA, key.name)
        if found is None:
            meta = ObjectMeta(name=ROOT_CA, namespace=key.name, annotations=NOTE)
            yield Create(ConfigMap(metadata=meta, data=data))
        elif found.data != data and not found.metadata.is_deleted:
            yield Update(replaced(found, data=data))
