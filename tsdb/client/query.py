"""Questions to a store with Prometheus' API: JSON over whatever sends the request.

Light on purpose: importing it brings neither arrays nor an HTTP library, so that a program that
asks once in a while does not pay for a store.
"""

import math
from collections.abc import Mapping
from typing import Protocol

import msgspec


class QueryUnanswered(Exception):
    """The store refused a query or could not be reached: hold, decide nothing on missing data."""

    def __init__(self, query: str, kind: str, said: str) -> None:
        super().__init__(f"{query!r} was not answered: {kind}: {said}")
        self.query, self.kind, self.said = query, kind, said


class Points(msgspec.Struct, frozen=True):
    """One series of an answer: its labels, and (seconds since 1970, value), the oldest first."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        return self.points[-1][1]


class NotSent(Exception):
    """A request got no answer: no connection, a broken one, or the deadline has passed."""


class Sender(Protocol):
    """What carries a question to a store; http.py has the usual one."""

    async def post(self, path: str, form: Mapping[str, str]) -> bytes:
        """Send a form to a path of the store; return the answer's body, whatever its status.

        Raises:
            NotSent: there was no answer in time.
        """
        ...


class _Answer(msgspec.Struct):
    """What the API answers, as far as it is read."""

    status: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    errorType: str = ""  # noqa: N815  the wire's name
    error: str = ""


class _Arrival(msgspec.Struct):
    number: int


class _Data(msgspec.Struct):
    resultType: str  # noqa: N815  the wire's name
    result: msgspec.Raw


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] = []


class QueryClient:
    """Asks a store."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def query(self, text: str, at_s: float | None = None) -> list[Points]:
        """Return the answer to a query at a moment, or now; a scalar is a series without labels.

        Raises:
            QueryUnanswered: it was refused, or the store could not be reached in time.
        """
        asked = {"query": text} if at_s is None else {"query": text, "time": repr(at_s)}
        return await self._ask("query", asked)

    async def query_range(
        self, text: str, first_s: float, last_s: float, step_s: float
    ) -> list[Points]:
        """Return the answers at first_s and every step_s after it, up to last_s.

        Raises:
            QueryUnanswered: as query.
        """
        asked = {"query": text, "start": repr(first_s), "end": repr(last_s), "step": repr(step_s)}
        return await self._ask("query_range", asked)

    async def value(self, text: str) -> float | None:
        """Return the one number that a query gives, or None where it gives no series.

        Raises:
            QueryUnanswered: as query; also where there are several series.
        """
        found = await self.query(text)
        if len(found) > 1:
            raise QueryUnanswered(text, "ambiguous", f"{len(found)} series instead of one")
        return found[0].last if found else None

    async def arrived(self, after: int, wait_s: float) -> int:
        """Return the number of the newest scrape, once it is another than after or in wait_s.

        Raises:
            QueryUnanswered: as query; also by a store that does not know.
        """
        asked = {"after": str(after), "timeout": f"{wait_s:g}"}
        try:
            body = await self._sender.post("/api/v1/arrivals", asked)
        except NotSent as error:
            raise QueryUnanswered("arrivals", "unreachable", str(error)) from error
        try:
            answer = msgspec.json.decode(body, type=_Answer)
            if answer.status != "success":
                raise QueryUnanswered("arrivals", answer.errorType, answer.error)
            return msgspec.json.decode(answer.data, type=_Arrival).number
        except msgspec.DecodeError as error:
            raise QueryUnanswered("arrivals", "unreadable", str(error)) from error

    async def _ask(self, path: str, asked: Mapping[str, str]) -> list[Points]:
        try:
            body = await self._sender.post(f"/api/v1/{path}", asked)
        except NotSent as error:
            raise QueryUnanswered(asked["query"], "unreachable", str(error)) from error
        return _points(asked["query"], body)


def _points(query: str, body: bytes) -> list[Points]:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
        if answer.status != "success":
            raise QueryUnanswered(query, answer.errorType, answer.error)
        data = msgspec.json.decode(answer.data, type=_Data)
        if data.resultType in ("scalar", "string"):
            at_s, text = msgspec.json.decode(data.result, type=tuple[float, str])
            return [Points({}, ((at_s, _number(text)),))]
        found = msgspec.json.decode(data.result, type=list[_Series])
    except (msgspec.DecodeError, ValueError) as error:
        raise QueryUnanswered(query, "unreadable", str(error)) from error
    return [
        Points(one.metric, tuple((at_s, _number(text)) for at_s, text in _all_values(one)))
        for one in found
    ]


def _all_values(one: _Series) -> list[tuple[float, str]]:
    return [one.value] if one.value is not None else one.values


def _number(text: str) -> float:
    return {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}.get(text) or float(text)
