"""Alive, and ready: what a balancer or a supervisor asks."""

from apiserver.backend import Backend
from apiserver.call import Call
from cubernetes.api.errors import ServiceUnavailable
from cubernetes.api.http import Response


def check_loaded(backend: Backend) -> None:
    """Refuse as long as the store has not been read once.

    Raises: ServiceUnavailable.
    """
    if not backend.mirror.is_loaded:
        raise ServiceUnavailable("the server is starting", retry_after_s=1)


async def livez(_: Backend, __: Call) -> Response:
    return Response(200, b"ok", content_type="text/plain")


async def readyz(backend: Backend, _: Call) -> Response:
    """Ready is who has loaded the store and can reach it now.

    Raises: ServiceUnavailable, Timeout.
    """
    check_loaded(backend)
    await backend.mirror.caught_up(backend.settings.limits.freshness_deadline_s)
    return Response(200, b"ok", content_type="text/plain")
