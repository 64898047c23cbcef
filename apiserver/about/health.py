"""Alive, and ready: what a balancer or a supervisor asks."""

from collections.abc import Sequence

from apiserver.backend import Backend
from apiserver.call import Call
from cubernetes.api.errors import ServiceUnavailable
from cubernetes.host.web.messages import Response


def check_loaded(backend: Backend) -> None:
    """Refuse as long as the store has not been read once.

    Raises: ServiceUnavailable.
    """
    if not backend.mirror.is_loaded:
        raise ServiceUnavailable("the server is starting", retry_after_s=1)


async def livez(_: Backend, call: Call) -> Response:
    return _verdict("livez", call, ["ping"])


async def readyz(backend: Backend, call: Call) -> Response:
    """Ready is who has loaded the store and can reach it now.

    Raises: ServiceUnavailable, Timeout.
    """
    check_loaded(backend)
    await backend.caught_up()
    return _verdict("readyz", call, ["ping", "mirror", "etcd"])


def _verdict(name: str, call: Call, passed: Sequence[str]) -> Response:
    """Answer that all is well; `?verbose` names what was looked at, as Kubernetes' does."""
    text = "ok"
    if any(key == "verbose" for key, _ in call.request.query):
        lines = [f"[+]{one} ok" for one in passed]
        text = "\n".join([*lines, f"{name} check passed", ""])
    return Response(200, text.encode(), content_type="text/plain")
