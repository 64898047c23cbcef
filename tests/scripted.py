"""A transport that answers from a script: what a client does when the world behaves just so."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from cubernetes.api.bodies.envelopes import Listing, ListMeta, status_of
from cubernetes.api.coding import codec
from cubernetes.api.errors import ApiError
from cubernetes.api.meta import Model, Object
from cubernetes.host.web.messages import Request, Response

type Answer = Response | Exception | Callable[[Request], Response]


class ScriptedTransport:
    """Gives its answers in turn, the last one for ever; keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Request] = []
        self._answers = list(answers)

    async def send(self, request: Request, *, deadline_s: float) -> Response:
        return self._answer(request)

    async def open(self, request: Request, *, deadline_s: float) -> Response:
        return self._answer(request)

    async def close(self) -> None:
        """Nothing is open."""

    def _answer(self, request: Request) -> Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Response) else answer(request)


def ok(model: Model | bytes = b"{}") -> Response:
    return Response(200, model if isinstance(model, bytes) else codec.encode(model))


def refused(error: ApiError) -> Response:
    return Response(error.code, codec.encode(status_of(error)))


def listed(items: Sequence[Object], revision: int) -> Response:
    meta = ListMeta(resource_version=str(revision))
    return ok(Listing(metadata=meta, items=tuple(items)))


def line(verdict: str, content: Model) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (verdict.encode(), codec.encode(content))


def bookmark(revision: int) -> bytes:
    text = '{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%d"}}}\n'
    return (text % revision).encode()


def streamed(
    *lines: bytes, lives_s: float = 5.0, breaks: Exception | None = None
) -> Callable[[Request], Response]:
    """Return an answer that sends lines, lives on for a while, and then ends or breaks."""

    async def body() -> AsyncGenerator[bytes]:
        for one in lines:
            yield one
        await asyncio.sleep(lives_s)
        if breaks is not None:
            raise breaks

    return lambda _: Response(200, body())
