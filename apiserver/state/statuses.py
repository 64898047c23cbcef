"""Errors as answers, in one place: what the store could not do, and every error's Status."""

from apiserver.storage import store
from cubernetes.api.bodies.envelopes import Status, StatusDetails, status_of
from cubernetes.api.coding import codec
from cubernetes.api.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    NotFound,
    RequestTooLarge,
    ServiceUnavailable,
    Timeout,
)
from cubernetes.api.resource import Resource
from cubernetes.host.web.messages import Response

RETRY_AFTER_S = 1


class StorageFull(ServiceUnavailable):
    """The store is over its quota; reads and deletes still work."""

    reason = "StorageFull"


def error_from(trouble: store.StoreError) -> ApiError:
    """Return what a client is told of the store's trouble."""
    match trouble:
        case store.WriteInDoubt():
            return Timeout("the outcome is unknown: the write may have happened; read again")
        case store.StorageFull():
            return StorageFull("the store is full", retry_after_s=60)
        case store.TooLarge():
            return RequestTooLarge(f"the object is too large for the store: {trouble}")
        case store.Unavailable():
            message = f"the store does not answer: {trouble}"
            return ServiceUnavailable(message, retry_after_s=RETRY_AFTER_S)
        case _:
            return InternalError(f"the store refused: {trouble}")


def response_of(error: ApiError) -> Response:
    """Return an error as an answer."""
    headers = {"Cache-Control": "no-store"}
    if error.retry_after_s:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    return Response(error.code, codec.encode(status_of(error)), headers)


def success(resource: Resource, name: str, uid: str, code: int = 200) -> Response:
    """Return the answer to a call that leaves no object to show."""
    details = StatusDetails(name=name, group=resource.group, kind=resource.plural, uid=uid)
    status = Status(status="Success", details=details, code=code)
    return Response(code, codec.encode(status))


def absent(resource: Resource, name: str) -> NotFound:
    """Say that there is no such object, in kubectl's words."""
    message = f'{_title(resource)} "{name}" not found'
    return NotFound(message, kind=resource.plural, group=resource.group, name=name)


def forbidden(resource: str, name: str, why: str) -> Forbidden:
    return Forbidden(f"{resource} is forbidden: {why}", kind=resource, name=name)


def exists(resource: Resource, name: str) -> AlreadyExists:
    message = f'{_title(resource)} "{name}" already exists'
    return AlreadyExists(message, kind=resource.plural, group=resource.group, name=name)


def conflict(resource: Resource, name: str, why: str) -> Conflict:
    message = f'Operation cannot be fulfilled on {_title(resource)} "{name}": {why}'
    return Conflict(message, kind=resource.plural, group=resource.group, name=name)


MODIFIED_SINCE = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def _title(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural
