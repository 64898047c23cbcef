"""Calls that must survive, over HTTP: accepted with 202, answered when they have ended."""

from collections.abc import Mapping

import msgspec

from cubernetes.host.web.messages import Request, Response
from serverless.board.key import FunctionKey
from serverless.durable.accept import Acceptor, NotAccepted, UnknownCall
from serverless.durable.dispatch import WITHDRAWN
from serverless.durable.outcomes import Ended
from serverless.durable.records import CANCELLED
from serverless.envelope import ResultHead
from serverless.gateway.answers import CALL_HEADER, answer_of, refusal
from serverless.running import Asked

PREFIX = "/calls/"
WAIT_S_MAX = 60.0
# How long who cancels a call waits for its end.
CANCEL_S = 10.0
ID_CHARS_MAX = 64
NO_BROKER = "calls that must survive need a broker: cuberoot enable serverless makes one"


class Lasting:
    """Answers calls that must survive; without an acceptor each is refused with its reason."""

    def __init__(self, acceptor: Acceptor | None) -> None:
        self._acceptor = acceptor

    async def invoke(
        self, key: FunctionKey, asked: Asked, *, wait_s: float, repeat_key: str = ""
    ) -> Response:
        """Accept a call; return its answer, or 202 where it has none within wait_s."""
        if self._acceptor is None:
            return refusal(503, NO_BROKER)
        try:
            call = await self._acceptor.accept(key, asked, repeat_key)
            ended = await self._acceptor.ended(call, wait_s)
        except NotAccepted as error:
            return refusal(error.status, str(error), is_later=error.is_later)
        return self._told(call, ended)

    async def find(self, request: Request) -> Response:
        """Answer `GET /calls/ID[?wait=SECONDS]` and `DELETE /calls/ID`."""
        call = request.path.removeprefix(PREFIX)
        wait = request.parameter("wait", "0")
        if request.method == "DELETE":
            return await self._cancelled(call[:ID_CHARS_MAX])
        if request.method != "GET":
            told = {"Allow": "GET, DELETE"}
            return Response(405, b"only GET and DELETE here\n", told, "text/plain")
        if not wait.isdecimal() or float(wait) > WAIT_S_MAX:
            return refusal(400, f"wait must be seconds, at most {WAIT_S_MAX:g}")
        if self._acceptor is None:
            return refusal(404, NO_BROKER)
        try:
            ended = await self._acceptor.ended(call[:ID_CHARS_MAX], float(wait))
        except UnknownCall:
            return refusal(404, "there is no such call, or it ended more than a day ago")
        except NotAccepted as error:
            return refusal(error.status, str(error), is_later=error.is_later)
        return self._told(call, ended)

    async def _cancelled(self, call: str) -> Response:
        """Cancel a call: 200 when that is so for ever, 202 while it is not, 409 when it is late."""
        if self._acceptor is None:
            return refusal(404, NO_BROKER)
        try:
            ended = await self._acceptor.cancel(call, CANCEL_S)
        except UnknownCall:
            return refusal(404, "there is no such call, or it ended more than a day ago")
        except NotAccepted as error:
            return refusal(error.status, str(error), is_later=error.is_later)
        if ended is None:
            return self._told(call, None)
        if ended.head is None or ended.head.error != WITHDRAWN:
            outcome = (
                ended.head.outcome if ended.head is not None else "its result is kept no longer"
            )
            return refusal(409, f"the call had ended before: {outcome}")
        return Response(200, msgspec.json.encode({"call": call, "state": CANCELLED}) + b"\n")

    def _told(self, call: str, ended: Ended | None) -> Response:
        if ended is not None:
            return _ended(call, ended)
        state = self._acceptor.state_of(call) if self._acceptor is not None else ""
        body = msgspec.json.encode({"call": call, "state": state or "accepted"}) + b"\n"
        headers = {CALL_HEADER: call, "Location": f"{PREFIX}{call}", "Retry-After": "1"}
        return Response(202, body, headers)


def _ended(call: str, ended: Ended) -> Response:
    head = ended.head
    if head is None:
        return _with(refusal(410, "the call has ended; its result is kept no longer"), call, {})
    told = {"Cube-Outcome": head.outcome, "Cube-Attempts": str(head.attempts)}
    function = f"{head.namespace}/{head.name}"
    if head.error:
        return _with(refusal(head.status, f"function {function}: {head.error}"), call, told)
    result = ResultHead(
        outcome="ok", status=head.status, content_type=head.content_type, headers=head.headers
    )
    return _with(answer_of(function, result, ended.body), call, told)


def _with(response: Response, call: str, headers: Mapping[str, str]) -> Response:
    told = {**response.headers, CALL_HEADER: call, **headers}
    return Response(response.status, response.body, told, response.content_type)
