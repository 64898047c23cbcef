"""The size of a workload as an object of its own, so that a scaler needs to know no kind."""

from typing import Any, cast

import msgspec

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.state.keys import key_of
from apiserver.state.statuses import MODIFIED_SINCE, absent, conflict
from apiserver.subresources.subresource import Method, Subresource
from apiserver.verbs.read import reach
from apiserver.verbs.write import modified
from apiserver.wire.bodies import tree_in
from apiserver.wire.parameters import STRICT_WRITE
from apiserver.wire.patches import patch_in
from cubernetes.api.bodies.envelopes import Scale, ScaleSpec, ScaleStatus
from cubernetes.api.coding import codec, schema
from cubernetes.api.coding.refusals import invalid
from cubernetes.api.custom.objects import CustomObject, Size
from cubernetes.api.errors import BadRequest, NotFound
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.api.notation import jsontext
from cubernetes.api.selectors import selector_text
from cubernetes.host.web.messages import Response


async def get(backend: Backend, call: Call) -> Response:
    await reach(backend, call)
    item = backend.mirror.item(key_of(call.kind, call.namespace, call.name))
    if item is None:
        raise absent(call.kind.resource, call.name)
    return Response(200, codec.encode(scale_of(item.object)))


async def update(backend: Backend, call: Call) -> Response:
    wanted = _scale_from(tree_in(call))
    item = await modified(backend, call, lambda old: _scaled(call, old, wanted))
    return Response(200, codec.encode(scale_of(item.object)))


async def patch(backend: Backend, call: Call) -> Response:
    change, warnings = patch_in(call)
    if warnings:
        # A scale is read strictly always: a size that stands twice is no size.
        raise BadRequest(warnings[0])
    item = await modified(
        backend, call, lambda old: _scaled(call, old, _scale_from(change(scale_of(old))))
    )
    return Response(200, codec.encode(scale_of(item.object)))


def scale_of(one: Object) -> Scale:
    """Return the scale of an object that has replicas in its spec and status.

    Raises: NotFound: a custom object says no size where its definition looks for one.
    """
    size = _size_of(one)
    if size.wanted is None:
        raise NotFound("the spec replicas field does not exist in the object")
    metadata = one.metadata
    return Scale(
        metadata=ObjectMeta(
            name=metadata.name,
            namespace=metadata.namespace,
            uid=metadata.uid,
            resource_version=metadata.resource_version,
            creation_timestamp=metadata.creation_timestamp,
        ),
        spec=ScaleSpec(replicas=size.wanted),
        status=ScaleStatus(replicas=size.found, selector=size.selector),
    )


def _size_of(one: Object) -> Size:
    if isinstance(one, CustomObject):
        return one.size
    workload = cast(Any, one)
    selector = selector_text(workload.spec.selector.match_labels)
    return Size(workload.spec.replicas, workload.status.replicas, selector)


def _scale_from(sent: jsontext.Tree) -> Scale:
    tree = jsontext.without_nulls(sent)
    unknown, wrong = schema.check(Scale, tree)
    if unknown:
        raise BadRequest(f'Scale: unknown field "{unknown[0]}"')
    if wrong:
        raise invalid("Scale", "", wrong)
    return msgspec.convert(tree, Scale)


def _scaled(call: Call, old: Object, wanted: Scale) -> Object:
    meta, seen = wanted.metadata, wanted.metadata.resource_version
    for field, told, asked in (
        ("name", meta.name, call.name),
        ("namespace", meta.namespace, call.namespace),
    ):
        if told not in ("", asked):
            raise BadRequest(f"metadata.{field}: {told[:80]!r} is not that of the path, {asked!r}")
    if meta.uid not in ("", old.metadata.uid):
        raise conflict(call.kind.resource, call.name, "the uid is that of another object")
    if seen and seen != old.metadata.resource_version:
        raise conflict(call.kind.resource, call.name, MODIFIED_SINCE)
    old = replaced(old, metadata=replaced(old.metadata, resource_version=""))
    if isinstance(old, CustomObject):
        return old.sized(wanted.spec.replicas)
    return replaced(old, spec=replaced(cast(Any, old).spec, replicas=wanted.spec.replicas))


# It is read strictly always: nothing less can be asked for.
_REFUSED = {"fieldValidation": "Strict"}
SCALE = Subresource(
    "scale",
    (
        Method("GET", "get", get),
        Method("PUT", "update", update, STRICT_WRITE, refused=_REFUSED),
        Method("PATCH", "patch", patch, STRICT_WRITE, refused=_REFUSED),
    ),
    model=Scale,
)
