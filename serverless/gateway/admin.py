"""What `cubectl function` asks, over TLS with an administrator's certificate: calls and logs."""

from collections.abc import Iterable

import msgspec

from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import HttpRefusal, Route
from serverless.board.kept import Entry, KeptLogs
from serverless.gateway.invoke import Invoker
from serverless.gateway.lasting import Lasting
from serverless.gateway.telling import key_in
from serverless.running import Asked

MASTERS = "system:masters"


class Told(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a call has said, on the wire."""

    call: str
    at: str
    outcome: str
    milliseconds: float
    revision: str
    text: str


class Admin:
    """Answers administrators alone: who may call a function so, may read what others said to it."""

    def __init__(
        self, invoker: Invoker, lasting: Lasting, logs: KeptLogs, more: Iterable[Route]
    ) -> None:
        self._invoker, self._lasting, self._logs, self._more = invoker, lasting, logs, more

    def routes(self) -> list[Route]:
        return [
            ("POST", "/functions/{namespace}/{name}/invoke", self.invoke),
            ("GET", "/functions/{namespace}/{name}/logs", self.logs),
            ("GET", "/calls/{call}", self._lasting.find),
            ("DELETE", "/calls/{call}", self._lasting.find),
            *self._more,
        ]

    def check_may(self, request: Request) -> None:
        """Raises: Refused."""
        if MASTERS not in request.identity.groups:
            raise HttpRefusal(403, f"only a client of the group {MASTERS} may ask")

    async def invoke(self, request: Request) -> Response:
        """Call a function without a route."""
        is_async = request.parameter("async") == "true"
        asked = Asked(
            method="POST" if request.body else "GET",
            path="/",
            params=tuple(one for one in request.query if one[0] != "async"),
            headers={"content-type": request.headers.get("content-type", "")},
            body=request.body,
        )
        if is_async:
            return await self._lasting.invoke(key_in(request), asked, wait_s=0.0)
        return await self._invoker.invoke(key_in(request), asked)

    async def logs(self, request: Request) -> Response:
        """Return what calls said lately, oldest first."""
        entries = self._logs.of(key_in(request), request.parameter("call"))
        return Response(200, msgspec.json.encode([_told(one) for one in entries]))


def _told(entry: Entry) -> Told:
    return Told(
        call=entry.call,
        at=entry.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        outcome=entry.outcome,
        milliseconds=entry.milliseconds,
        revision=entry.revision,
        text=entry.text,
    )
