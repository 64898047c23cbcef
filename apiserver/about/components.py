"""componentstatuses: the parts of the control plane, looked at when somebody asks."""

from collections.abc import Mapping

from apiserver.backend import Backend
from apiserver.call import Call, Handler
from apiserver.state.items import Item, encoded, stored
from apiserver.state.keys import key_of
from apiserver.state.statuses import absent
from apiserver.verbs.read import LIMIT_MAX, form_for, revision_in, selection_for
from apiserver.views.components import KIND, component_statuses
from cubernetes.api.bodies.envelopes import ListMeta
from cubernetes.api.coding.codec import encode
from cubernetes.api.errors import BadRequest, MethodNotAllowed, ServiceUnavailable, Timeout
from cubernetes.host.web.messages import Response


async def get(backend: Backend, call: Call) -> Response:
    revision_in(call)
    form = form_for(backend, call)
    for item in await _items(backend):
        if item.object.metadata.name == call.name:
            return Response(200, form.item(item))
    raise absent(call.kind.resource, call.name)


async def list_(backend: Backend, call: Call) -> Response:
    """Answer with all parts, as they are now: a list so short has no pages, and nothing older."""
    revision_in(call)
    call.number("limit", 0, LIMIT_MAX)
    if call.request.parameter("resourceVersionMatch"):
        raise BadRequest("resourceVersionMatch: componentstatuses are of no revision")
    if call.is_set("watch"):
        raise MethodNotAllowed("componentstatuses cannot be watched", allowed=("GET",))
    if call.request.parameter("continue"):
        raise BadRequest("continue: not a token of this server")
    selection, form = selection_for(call), form_for(backend, call)
    items = [one for one in await _items(backend) if selection.matches(one)]
    meta = encode(ListMeta(resource_version=str(backend.mirror.revision)))
    return Response(200, form.listing(items, meta))


async def _items(backend: Backend) -> list[Item]:
    try:
        await backend.caught_up()
        trouble = ""
    except (ServiceUnavailable, Timeout) as error:
        trouble = error.message
    statuses = component_statuses(backend.watchers.count_of, trouble)
    revision = backend.mirror.revision
    return [
        stored(KIND, key_of(KIND, "", one.metadata.name), encoded(one), revision)
        for one in statuses
    ]


HANDLERS: Mapping[str, Handler] = {"get": get, "list": list_}
