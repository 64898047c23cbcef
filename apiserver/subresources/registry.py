"""Every subresource there is: routes, discovery and OpenAPI come from here."""

from collections.abc import Iterator, Mapping

from apiserver.subresources.ephemeral import EPHEMERAL
from apiserver.subresources.eviction import EVICTION
from apiserver.subresources.execution import ATTACH, EXEC, PORT_FORWARD
from apiserver.subresources.history import HISTORY
from apiserver.subresources.namespaces import FINALIZE
from apiserver.subresources.output import OUTPUT
from apiserver.subresources.pods import BINDING, LOG
from apiserver.subresources.proxy import PROXY
from apiserver.subresources.scale import SCALE
from apiserver.subresources.status import STATUS
from apiserver.subresources.subresource import Method, Subresource
from apiserver.subresources.tokens import TOKEN
from apiserver.wire import parameters
from apiserver.wire.parameters import Parameter
from cubernetes.api.resource import Resource

SUBRESOURCES: tuple[Subresource, ...] = (
    STATUS, SCALE, BINDING, EPHEMERAL, EVICTION, LOG, EXEC, ATTACH, PORT_FORWARD, PROXY, FINALIZE,
    HISTORY, TOKEN, OUTPUT,
)  # fmt: skip
_BY_NAME: Mapping[str, Subresource] = {one.name: one for one in SUBRESOURCES}


class SubresourceUnknown(Exception):
    """A kind lists a subresource that is not registered: it cannot be served."""


def subresources_of(resource: Resource) -> Iterator[Subresource]:
    """Yield the subresources that a kind lists, in its order.

    Raises: SubresourceUnknown.
    """
    for name in resource.subresources:
        if name not in _BY_NAME:
            known = ", ".join(_BY_NAME)
            raise SubresourceUnknown(f"{resource.kind}: subresources: {name!r} is none of {known}")
        yield _BY_NAME[name]


def subresource_named(name: str) -> Subresource | None:
    return _BY_NAME.get(name)


def method_of(name: str, verb: str) -> Method | None:
    """Return how a subresource answers a verb; None for the object itself, whose name is empty."""
    found = _BY_NAME.get(name)
    return next((one for one in found.methods if one.verb == verb), None) if found else None


def parameters_of(name: str, verb: str) -> tuple[Parameter, ...]:
    """Return the parameters that are obeyed; name is a subresource, or empty."""
    method = method_of(name, verb)
    if method is None or method.parameters is None:
        return parameters.OF_VERBS[verb]
    return method.parameters


def refused_of(name: str, verb: str) -> Mapping[str, str]:
    """Return what is known and refused, each with a value that asks for nothing."""
    method = method_of(name, verb)
    own = method.refused if method is not None else {}
    return {**parameters.REFUSED.get(verb, {}), **own}
