"""Alive, and ready: what a balancer or a supervisor asks."""

from apiserver.backend import Backend
from apiserver.call import Call
from cubernetes.api.http import Response


async def livez(_: Backend, __: Call) -> Response:
    return Response(200, b"ok", content_type="text/plain")


async def readyz(backend: Backend, _: Call) -> Response:
    """Ready is who has loaded the store and can reach it now.

    Raises: ServiceUnavailable, Timeout.
    """
    await backend.mirror.caught_up(backend.settings.limits.freshness_deadline_s)
    return Response(200, b"ok", content_type="text/plain")
