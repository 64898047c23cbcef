"""PATCH: server-side apply beside the patches that say what changes."""

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.verbs import ownership, write
from apiserver.verbs.ownership import Applied
from apiserver.verbs.write import MadeOf
from apiserver.wire.bodies import changed_to, warning_header
from cubernetes.api.errors import AlreadyExists, NotFound
from cubernetes.api.meta import Object, replaced
from cubernetes.api.notation.jsontext import Tree
from cubernetes.host.web.messages import Response

# How often an object may come or go between a look and a write.
ATTEMPTS_MAX = 8


async def patch(backend: Backend, call: Call) -> Response:
    """Change an object; one that is applied and absent is created."""
    if not ownership.is_apply(call):
        ownership.check_unforced(call)
        return await write.patch(backend, call)
    asked = _asked(call)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            return await _apply(backend, call, asked, write.replacement)
        except NotFound:
            metadata = asked.tree.get("metadata", {})
            # A client that states a revision means that state, and no other.
            if metadata.get("resourceVersion") or metadata.get("uid"):
                raise
        try:
            return await _create(backend, call, asked)
        except AlreadyExists:
            if attempt == ATTEMPTS_MAX:
                raise
    raise AssertionError("every attempt returns or raises")


async def patch_status(backend: Backend, call: Call) -> Response:
    return await patch_by(backend, call, write.status_replacement)


async def patch_by(backend: Backend, call: Call, made_of: MadeOf) -> Response:
    """Change a part of an object that is there, by whatever patch."""
    if not ownership.is_apply(call):
        ownership.check_unforced(call)
        return await write.patch_by(backend, call, made_of)
    return await _apply(backend, call, _asked(call), made_of)


def _asked(call: Call) -> Applied:
    asked = ownership.applied_in(call)
    metadata = asked.tree.get("metadata", {})
    write.check_address(call, metadata.get("name", ""), metadata.get("namespace", ""))
    return asked


async def _apply(backend: Backend, call: Call, asked: Applied, made_of: MadeOf) -> Response:
    def made(tree: Tree, old: Object) -> Object:
        return made_of(call, changed_to(call, tree).model, old)

    change = ownership.change_by(asked, backend.env.clock.now(), made)
    return await write.modify(backend, call, change, warnings=asked.warnings)


async def _create(backend: Backend, call: Call, asked: Applied) -> Response:
    write.check_may_create(backend, call)
    one = changed_to(call, asked.tree).model
    named = replaced(one, metadata=replaced(one.metadata, name=call.name))
    made = ownership.initial(named, asked, backend.env.clock.now())
    item = await write.create_object(backend, call, made)
    return Response(201, item.content, warning_header(asked.warnings))
