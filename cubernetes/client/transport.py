"""How requests travel: the one seam between the typed client and any HTTP library or simulation."""

from typing import Protocol

from cubernetes.host.web.messages import Request, Response


class Transport(Protocol):
    """Carries a request to some API server and its answer back; it never repeats a request.

    The request's identity is not sent: a server knows its caller by the connection.
    """

    async def send(self, request: Request, *, deadline_s: float) -> Response:
        """Return the whole answer, whatever its status; its body is bytes.

        Raises:
            Unreachable: nothing was sent.
            Unknown: it was (perhaps) sent, and no whole answer came within deadline_s.
        """
        ...

    async def open(self, request: Request, *, deadline_s: float) -> Response:
        """Return an answer whose body, where the status is 200, is a stream; raises as send does.

        deadline_s covers only the time until the headers are there. A stream that breaks raises
        Unknown; a reader that stops early closes it (`aclose`).
        """
        ...

    async def close(self) -> None:
        """Release every connection."""
        ...
