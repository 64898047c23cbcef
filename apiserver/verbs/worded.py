"""The verbs that write an object of a view: each writes the stored object that it is, reworded."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from msgspec.structs import replace

from apiserver.backend import Backend
from apiserver.call import Call, Handler
from apiserver.state.items import Item, MadeItem
from apiserver.state.view import Wording
from apiserver.strategies.strategy import Strategy
from apiserver.verbs import delete, write
from apiserver.wire.bodies import changed_to, object_in, warning_header
from apiserver.wire.patches import patch_in
from cubernetes.api.coding.refusals import found, invalid
from cubernetes.api.errors import NotFound
from cubernetes.api.meta import Object, replaced
from cubernetes.host.web.messages import Response


class Target(NamedTuple):
    """What a write of a view leads to: the wording, and what the stored kind asks for."""

    wording: Wording
    strategy: Strategy[Any]

    def call(self, call: Call) -> Call:
        """Return the call as one about the stored kind."""
        route = call.route._replace(kind=self.wording.stored, strategy=self.strategy)
        return replace(call, route=route)

    def answer(self, code: int, call: Call, item: Item, warnings: tuple[str, ...]) -> Response:
        make = partial(self.wording.shown, item.object)
        shown = MadeItem(call.kind, item.key, item.revision, (), make)
        return Response(code, shown.content, warning_header(warnings))


def handlers_of(wording: Wording, strategy: Strategy[Any]) -> Mapping[str, Handler]:
    """Return what carries out each writing verb of a view."""
    target = Target(wording, strategy)
    return {
        "create": partial(_create, target),
        "update": partial(_update, target),
        "patch": partial(_patch, target),
        "delete": partial(_delete, target),
        "deletecollection": partial(_delete_collection, target),
    }


async def _create(target: Target, backend: Backend, call: Call) -> Response:
    reading = object_in(call)
    return await _created(target, backend, call, reading.model, reading.warnings)


async def _created(
    target: Target, backend: Backend, call: Call, one: Object, warnings: tuple[str, ...]
) -> Response:
    wording = target.wording
    metadata = replaced(one.metadata, namespace=one.metadata.namespace or call.namespace)
    one = replaced(one, metadata=metadata)
    if problems := found(wording.creation_problems(one)):
        name = one.metadata.name or one.metadata.generate_name
        raise invalid(call.kind.resource.qualified_kind, name, problems, one)
    item = await write.create_object(backend, target.call(call), wording.kept(one, None))
    return target.answer(201, call, item, warnings)


async def _update(target: Target, backend: Backend, call: Call) -> Response:
    reading = object_in(call)
    one = reading.model
    write.check_address(call, one.metadata.name, one.metadata.namespace)
    try:
        item = await _modified(target, backend, call, lambda _: one)
    except NotFound:
        meta = one.metadata
        if not call.kind.resource.is_created_by_put or meta.resource_version or meta.uid:
            raise
    else:
        return target.answer(200, call, item, reading.warnings)
    write.check_may_create(backend, call)
    named = replaced(one, metadata=replaced(one.metadata, name=call.name))
    return await _created(target, backend, call, named, reading.warnings)


async def _patch(target: Target, backend: Backend, call: Call) -> Response:
    asked = patch_in(call)
    warnings: list[str] = []

    def change(shown: Object) -> Object:
        reading = changed_to(call, asked.change(shown))
        warnings[:] = (*asked.warnings, *reading.warnings)
        return reading.model

    item = await _modified(target, backend, call, change)
    return target.answer(200, call, item, tuple(warnings))


async def _modified(
    target: Target, backend: Backend, call: Call, change: Callable[[Object], Object]
) -> Item:
    """Change the stored object by a change of what is shown of it."""
    wording, stored_call = target.wording, target.call(call)

    def reworded(old: Object) -> Object:
        shown = wording.shown(old)
        new = change(shown)
        if problems := found(wording.update_problems(shown, new)):
            raise invalid(call.kind.resource.qualified_kind, call.name, problems, new)
        return write.replacement(stored_call, wording.kept(new, old), old)

    return await write.modified(backend, stored_call, reworded)


async def _delete(target: Target, backend: Backend, call: Call) -> Response:
    return await delete.delete(backend, target.call(call))


async def _delete_collection(target: Target, backend: Backend, call: Call) -> Response:
    return await delete.delete_collection(backend, target.call(call))
