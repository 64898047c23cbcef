"""metrics.k8s.io: nodes and pods with what they use, as `top` and autoscalers ask for it."""

from collections.abc import Iterable, Mapping

from apiserver.backend import Backend, KubeletLogs
from apiserver.call import Call, Handler
from apiserver.state.items import Item, encoded, stored
from apiserver.state.keys import key_of
from apiserver.state.statuses import absent
from apiserver.uses.summaries import node_metrics, pod_metrics, summaries_of, summary_of
from apiserver.verbs.read import LIMIT_MAX, form_for, revision_in, selection_for
from cubernetes.api.bodies.envelopes import ListMeta
from cubernetes.api.coding.codec import encode
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import BadRequest, MethodNotAllowed, ServiceUnavailable
from cubernetes.api.meta import Object
from cubernetes.api.metrics.use import NodeMetrics, PodMetrics
from cubernetes.host.web.messages import Response


async def get_node(backend: Backend, call: Call) -> Response:
    form, kubelets = form_for(backend, call), await _ready(backend, call)
    node = backend.find(Node, call.name)
    if node is None:
        raise absent(call.kind.resource, call.name)
    return _told(call, form.item, node_metrics(node, await summary_of(kubelets, node)))


async def get_pod(backend: Backend, call: Call) -> Response:
    form, kubelets = form_for(backend, call), await _ready(backend, call)
    pod = backend.find(Pod, call.name, call.namespace)
    node = backend.find(Node, pod.spec.node_name) if pod is not None else None
    if pod is None or node is None:
        raise absent(call.kind.resource, call.name)
    return _told(call, form.item, pod_metrics(pod, await summary_of(kubelets, node)))


async def list_nodes(backend: Backend, call: Call) -> Response:
    kubelets = await _ready(backend, call)
    nodes = [one for one in backend.objects(Node) if isinstance(one, Node)]
    said = await summaries_of(kubelets, nodes)
    found = (
        node_metrics(one, said[one.metadata.name]) for one in nodes if one.metadata.name in said
    )
    return _listed(backend, call, found)


async def list_pods(backend: Backend, call: Call) -> Response:
    kubelets = await _ready(backend, call)
    pods = [
        one
        for one in backend.objects(Pod)
        if isinstance(one, Pod) and call.namespace in ("", one.metadata.namespace)
    ]
    names = sorted({pod.spec.node_name for pod in pods if pod.spec.node_name})
    nodes = (backend.find(Node, name) for name in names)
    said = await summaries_of(kubelets, (node for node in nodes if node is not None))
    found = (
        pod_metrics(one, said[one.spec.node_name]) for one in pods if one.spec.node_name in said
    )
    return _listed(backend, call, found)


async def _ready(backend: Backend, call: Call) -> KubeletLogs:
    """Return the way to the kubelets; a revision is read, though nothing here has one.

    Raises: BadRequest, ServiceUnavailable, Timeout.
    """
    revision_in(call)
    await backend.caught_up()
    if backend.logs is None:
        raise ServiceUnavailable("this server has no way to the kubelets")
    return backend.logs


def _told(call: Call, form: object, found: Object | None) -> Response:
    """Raises: NotFound: its kubelet has no figures of it (yet)."""
    if found is None:
        raise absent(call.kind.resource, call.name)
    assert callable(form)  # noqa: S101  a form's method
    return Response(200, form(_item(found)))


def _listed(backend: Backend, call: Call, found: Iterable[Object | None]) -> Response:
    """Answer with all there are now: there are no pages, and nothing older."""
    call.number("limit", 0, LIMIT_MAX)
    if call.request.parameter("resourceVersionMatch"):
        raise BadRequest("resourceVersionMatch: what is used is of no revision")
    if call.is_set("watch"):
        raise MethodNotAllowed("what is used cannot be watched", allowed=("GET",))
    if call.request.parameter("continue"):
        raise BadRequest("continue: not a token of this server")
    selection, form = selection_for(call), form_for(backend, call)
    items = sorted((_item(one) for one in found if one is not None), key=lambda item: item.key)
    chosen = [one for one in items if selection.matches(one)]
    meta = encode(ListMeta(resource_version=str(backend.mirror.revision)))
    return Response(200, form.listing(chosen, meta))


def _item(one: Object) -> Item:
    kind, meta = type(one), one.metadata
    return stored(kind, key_of(kind, meta.namespace, meta.name), encoded(one), 0)


HANDLERS: Mapping[type[Object], Mapping[str, Handler]] = {
    NodeMetrics: {"get": get_node, "list": list_nodes},
    PodMetrics: {"get": get_pod, "list": list_pods},
}
