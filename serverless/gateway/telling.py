"""What administrators are told of functions: dead letters, a call's story, decisions."""

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from cubernetes.api.serverless.function import Function
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import Route
from serverless.board.decisions import Decision
from serverless.board.kept import KeptLogs
from serverless.board.key import FunctionKey
from serverless.durable.accept import Acceptor, NotAccepted, UnknownCall
from serverless.durable.letters import Letters, Told
from serverless.gateway.answers import refusal
from serverless.gateway.lasting import NO_BROKER


class Known(Protocol):
    """What is known of functions."""

    def function(self, key: FunctionKey) -> Function | None: ...

    def why_waiting(self, key: FunctionKey) -> str: ...

    def decisions(self, key: FunctionKey) -> tuple[Decision, ...]: ...

    def in_hand(self, key: FunctionKey) -> tuple[int, int]:
        """Return how many calls wait and how many are in hand."""
        ...


class Telling:
    """Answers administrators what there is to know."""

    def __init__(
        self, known: Known, logs: KeptLogs, acceptor: Acceptor | None, letters: Letters | None
    ) -> None:
        self._known, self._logs = known, logs
        self._acceptor, self._letters = acceptor, letters

    def routes(self) -> list[Route]:
        return [
            ("GET", "/functions/{namespace}/{name}/dead", self.dead),
            ("POST", "/functions/{namespace}/{name}/redrive", self.redrive),
            ("GET", "/functions/{namespace}/{name}/why", self.why),
            ("GET", "/calls/{call}/trace", self.trace),
        ]

    async def dead(self, request: Request) -> Response:
        """Return a function's dead letters, the oldest first."""
        if self._letters is None:
            return refusal(503, NO_BROKER)
        try:
            found = await self._letters.of(key_in(request))
        except NotAccepted as error:
            return refusal(error.status, str(error), is_later=error.is_later)
        return self._letters_told(found)

    async def redrive(self, request: Request) -> Response:
        """Call a function with its dead letters again, or with that of `?call=ID`."""
        if self._letters is None:
            return refusal(503, NO_BROKER)
        key, call = key_in(request), request.parameter("call")
        function = self._known.function(key)
        if function is None:
            return refusal(404, f"there is no function {key}")
        try:
            found = await self._letters.redrive(function, call)
        except NotAccepted as error:
            return refusal(error.status, str(error), is_later=error.is_later)
        if call and not found:
            return refusal(404, f"function {key} has no dead letter {call[:80]} to redrive")
        return self._letters_told(found)

    async def why(self, request: Request) -> Response:
        """Return what was decided of a function's instances, and what they wait for."""
        key = key_in(request)
        function = self._known.function(key)
        if function is None:
            return refusal(404, f"there is no function {key}")
        waiting, in_hand = self._known.in_hand(key)
        told = function.status.instances
        return _json(
            {
                "wanted": told.wanted,
                "ready": told.ready,
                "draining": told.draining,
                "inHand": in_hand,
                "waiting": waiting,
                "reason": function.status.reason,
                "waitsFor": self._known.why_waiting(key) if told.ready < told.wanted else "",
                "decisions": [
                    {
                        "at": one.at.isoformat(timespec="milliseconds"),
                        "wanted": one.wanted,
                        "inHand": one.in_hand,
                        "reason": one.reason,
                    }
                    for one in self._known.decisions(key)
                ],
            }
        )

    async def trace(self, request: Request) -> Response:
        """Return what is known of a call: its state, its attempts, what it printed."""
        call = dict(request.names)["call"]
        lines = self._logs.of_call(call)
        told: dict[str, Any] = {"call": call, "state": "direct"}
        if self._acceptor is not None:
            try:
                ended = await self._acceptor.ended(call, 0.0)
            except NotAccepted as error:
                return refusal(error.status, str(error), is_later=error.is_later)
            except UnknownCall:
                if not lines:
                    return refusal(404, "there is no such call, or it ended more than a day ago")
            else:
                head = ended.head if ended is not None else None
                state = "ended" if ended is not None else self._acceptor.state_of(call)
                told |= {"state": state or "accepted"} | (msgspec.to_builtins(head) if head else {})
        elif not lines:
            return refusal(404, "nothing is kept of such a call")
        told["runs"] = [
            {
                "call": one.call,
                "function": str(function),
                "at": one.at.isoformat(timespec="milliseconds"),
                "outcome": one.outcome,
                "milliseconds": one.milliseconds,
                "revision": one.revision,
                "text": one.text,
            }
            for function, one in lines
        ]
        return _json(told)

    def _letters_told(self, found: Iterable[Told]) -> Response:
        return _json([self._letter(one) for one in found])

    def _letter(self, told: Told) -> dict[str, Any]:
        letter = told.letter
        state = ""
        if told.redriven and self._acceptor is not None:
            ended = self._acceptor.ended_as(told.redriven)
            state = ended or self._acceptor.state_of(told.redriven) or "forgotten"
        return {
            "call": letter.call.id,
            "at": letter.at,
            "error": letter.error,
            "source": letter.call.source,
            "origin": letter.call.origin,
            "attempts": len(letter.call.failures),
            "isWhole": letter.is_whole,
            "redriven": told.redriven,
            "state": state,
        }


def _json(tree: object) -> Response:
    return Response(200, msgspec.json.encode(tree))


def key_in(request: Request) -> FunctionKey:
    """Return the function that a path names."""
    names = dict(request.names)
    return FunctionKey(names["namespace"], names["name"])
