"""The end of a namespace: its finalizers, taken away once it is empty."""

from functools import partial

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.state.statuses import MODIFIED_SINCE, conflict
from apiserver.subresources.subresource import Method, Subresource
from apiserver.verbs.write import modify
from apiserver.wire.bodies import object_in
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.meta import Object, replaced
from cubernetes.host.web.messages import Response


async def finalize(backend: Backend, call: Call) -> Response:
    """Replace spec.finalizers; a namespace that is going and has none left is gone."""
    reading = object_in(call)
    change = partial(_finalized, call, reading.model)
    return await modify(backend, call, change, warnings=reading.warnings)


def _finalized(call: Call, new: Object, old: Object) -> Object:
    assert isinstance(new, Namespace)  # noqa: S101  the route is of namespaces
    assert isinstance(old, Namespace)  # noqa: S101
    seen = new.metadata.resource_version
    if seen and seen != old.metadata.resource_version:
        raise conflict(call.kind.resource, call.name, MODIFIED_SINCE)
    metadata = replaced(old.metadata, resource_version="")
    return replaced(old, metadata=metadata, spec=new.spec)


FINALIZE = Subresource("finalize", (Method("PUT", "update", finalize),))
