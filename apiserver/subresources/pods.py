"""What only pods have: a binding to a node, and the logs of their containers."""

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote

from apiserver.backend import Backend, KubeletLogs
from apiserver.call import Call
from apiserver.state.keys import key_of
from apiserver.state.statuses import absent, conflict, success
from apiserver.strategies.metadata import to_the_second
from apiserver.strategies.node import node_exists
from apiserver.subresources.keptlogs import kept_log, post_mortems
from apiserver.subresources.subresource import Method, Subresource
from apiserver.verbs.write import modified
from apiserver.wire.bodies import model_in
from apiserver.wire.parameters import COMMON, MOMENT, NUMBER, STRICT_WRITE, TEXT, TRUTH, Parameter
from cubernetes.api.bodies.envelopes import Binding, Status
from cubernetes.api.coding.refusals import invalid
from cubernetes.api.condition import Condition, with_condition
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import every_program
from cubernetes.api.errors import BadRequest, Problem, ServiceUnavailable
from cubernetes.api.meta import Object, replaced
from cubernetes.client.wire.logquery import log_query, query_text
from cubernetes.host.web.messages import Response


async def bind(backend: Backend, call: Call) -> Response:
    """Put a pod on a node, once; the same again is fine, another node is a conflict."""
    binding = model_in(call, Binding)
    target, name = binding.target.name, binding.metadata.name
    if name not in ("", call.name):
        raise BadRequest(f"metadata.name: {name[:80]!r} is not the pod of the path")
    if binding.target.kind not in ("", "Node") or not target:
        problem = Problem("target", "must name a Node", "FieldValueRequired")
        raise invalid("Binding", call.name, [problem])
    since = to_the_second(backend.env.clock.now())
    uid = ""

    def change(old: Object) -> Object:
        nonlocal uid
        assert isinstance(old, Pod)  # noqa: S101  the route is of pods
        uid = old.metadata.uid
        if binding.metadata.uid and binding.metadata.uid != old.metadata.uid:
            raise conflict(call.kind.resource, call.name, "the pod is another one than was bound")
        if old.spec.node_name == target:
            return old
        if why := _not_bindable(old):
            raise conflict(call.kind.resource, call.name, why)
        scheduled = Condition(type="PodScheduled", status="True")
        conditions = with_condition(old.status.conditions, scheduled, since)
        return replaced(
            old,
            spec=replaced(old.spec, node_name=target),
            status=replaced(old.status, conditions=conditions),
        )

    await modified(backend, call, change, preconditions=(node_exists(target),), is_lawful=True)
    return success(call.kind.resource, call.name, uid, 201)


def _not_bindable(pod: Pod) -> str:
    """Return why a pod takes no node now; empty where it does."""
    if pod.spec.node_name:
        return f"it is already assigned to node {pod.spec.node_name!r}"
    if pod.metadata.is_deleted:
        return "it is being deleted"
    return "it has non-empty .spec.schedulingGates" if pod.spec.scheduling_gates else ""


async def log(backend: Backend, call: Call) -> Response:
    """Hand on what the kubelet has of a container's log, as it comes."""
    asked = log_query(call.request.query)
    await backend.caught_up()
    if asked.post_mortem:
        return await post_mortems(backend, call)
    if asked.deleted or (asked.back and backend.find(Pod, call.name, call.namespace) is None):
        return await kept_log(backend, call, asked)
    way = await way_to(backend, call, asked.container)
    user, is_followed = call.identity.user, asked.follow
    if is_followed:
        backend.watchers.check_room(user)
    opening = way.kubelets.open(way.node, f"/containerLogs/{way.path}", query_text(asked))
    lines = await (backend.watchers.followed(user, opening) if is_followed else opening)
    return Response(200, lines, content_type="text/plain")


class Way(NamedTuple):
    """How a pod or container is reached: by which node's kubelet, and its path there, quoted."""

    kubelets: KubeletLogs
    node: Node
    path: str


async def way_to(backend: Backend, call: Call, container: str | None) -> Way:
    """Return the way to a container of the call's pod; without a name it is the only one.

    container: None for the way to the pod itself.

    Raises: ApiError: there is none, and why.
    """
    await backend.caught_up()
    found = backend.mirror.item(key_of(Pod, call.namespace, call.name))
    if found is None:
        raise absent(Pod.resource, call.name)
    pod = found.object
    assert isinstance(pod, Pod)  # noqa: S101  the key is of pods
    names = [call.namespace, call.name]
    names += [_container(pod, container)] if container is not None else []
    if not pod.spec.node_name:
        raise BadRequest(f'pod "{call.name}" is not assigned to a node yet: nothing of it runs')
    at = backend.mirror.item(key_of(Node, "", pod.spec.node_name))
    if at is None or not isinstance(at.object, Node):
        message = f'the node "{pod.spec.node_name}" of the pod is not there'
        raise ServiceUnavailable(message, retry_after_s=5)
    if backend.logs is None:
        raise ServiceUnavailable("this server has no way to the kubelets")
    path = "/".join(quote(part, safe="") for part in names)
    return Way(backend.logs, at.object, path)


def _container(pod: Pod, asked: str) -> str:
    names = [container.name for container in pod.spec.containers]
    if asked in {container.name for container in every_program(pod.spec)}:
        return asked
    listed = _listed(names)
    if pod.spec.init_containers:
        inits = _listed(container.name for container in pod.spec.init_containers)
        listed += f" or one of the init containers: {inits}"
    if asked:
        raise BadRequest(f"container {asked[:80]} is not valid for pod {pod.metadata.name}")
    if len(names) > 1:
        message = f"a container name must be specified for pod {pod.metadata.name}, choose one of: "
        raise BadRequest(message + listed)
    return names[0]


def _listed(names: Iterable[str]) -> str:
    return f"[{' '.join(names)}]"


# It is read strictly always: nothing less can be asked for.
ALWAYS_STRICT = {"fieldValidation": "Strict"}
BINDING = Subresource(
    "binding",
    (Method("POST", "create", bind, STRICT_WRITE, Status, ALWAYS_STRICT),),
    model=Binding,
)
LOG_QUERY = (
    *COMMON,
    Parameter("container", TEXT, "Whose log; a pod with one container needs no name."),
    Parameter("follow", TRUTH, "Go on as more is written."),
    Parameter("previous", TRUTH, "Of the container before the last restart."),
    Parameter("life", NUMBER, "Of the container so many restarts ago; 1 is previous."),
    Parameter("deleted", TRUTH, "Of the pod that had this name before it was deleted."),
    Parameter("postMortem", TRUTH, "What is kept of how its containers ended, instead of a log."),
    Parameter("stream", TEXT, "Stdout or Stderr; All is both."),
    Parameter("limitBytes", NUMBER, "Only so many bytes, from the first on."),
    Parameter("sinceSeconds", NUMBER, "Only what was written so recently."),
    Parameter("sinceTime", MOMENT, "Only what was written from then on."),
    Parameter("tailLines", NUMBER, "Only so many lines from the end."),
    Parameter("timestamps", TRUTH, "Each line with its time."),
)
# The kubelet is never asked over a connection that is not verified.
LOG_REFUSED = {"insecureSkipTLSVerifyBackend": ""}
LOG = Subresource(
    "log", (Method("GET", "get", log, LOG_QUERY, refused=LOG_REFUSED),), media="text/plain"
)
