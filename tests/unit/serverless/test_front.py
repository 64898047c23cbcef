"""A client's connection to the gateway, whatever its bytes are cut into and whenever they come."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from cubernetes.host.web.httpserver import Limits
from cubernetes.host.web.messages import BodyBroken, Malformed, Request, Response, Unread
from serverless.gateway.front import Caller, FrontServer

LIMITS = Limits(head_deadline_s=600.0, body_deadline_s=600.0)
TURNS = 1000
HOST = b" HTTP/1.1\r\nHost: a\r\n"


class Wire(asyncio.Transport):
    """Keeps what is written, and says what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reads, self.is_ended = True, False

    def write(self, data: object) -> None:
        self.written += cast(bytes, data)

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.is_ended = True

    def abort(self) -> None:
        self.is_ended = True


class Waiting:
    """A site that answers a request with its path and body, once the test lets it.

    What is answered at once is in `quick`.
    """

    def __init__(self, *quick: str) -> None:
        self.quick = quick
        self.asked: list[str] = []
        self.bodies: dict[str, bytes] = {}
        self.given_up: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.before_end: Callable[[str], None] = lambda _: None

    async def respond(self, request: Request, unread: Unread | None) -> Response:
        path = request.path
        self.asked.append(path)
        try:
            body = await unread.read() if unread is not None else b""
        except BodyBroken as error:
            return Response(400, str(error).encode())
        self.bodies[path] = body
        try:
            if path not in self.quick:
                await self.gates.setdefault(path, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.given_up.append(path)
            raise
        self.before_end(path)
        return Response(200, path.encode() + body)

    def refused(self, _: Request, error: Malformed) -> Response:
        return Response(400, str(error).encode())

    def let(self, path: str) -> None:
        self.gates.setdefault(path, asyncio.Event()).set()


class Answering:
    """A site that does what it is told."""

    def __init__(self, answer: Callable[[], Awaitable[Response]]) -> None:
        self._answer = answer

    async def respond(self, _: Request, __: Unread | None) -> Response:
        return await self._answer()

    def refused(self, _: Request, error: Malformed) -> Response:
        return Response(400, str(error).encode())


async def a_caller(site: Waiting | Answering) -> tuple[Caller, Wire]:
    caller, far = Caller(FrontServer(site, LIMITS)), Wire()
    caller.connection_made(far)
    return caller, far


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until it holds; nothing here waits for anything outside the loop."""
    for _ in range(TURNS):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("nothing goes on any more")


async def settled() -> None:
    """Return when whatever could go on without being let has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


def get(path: str) -> bytes:
    return f"GET {path}".encode() + HOST + b"\r\n"


def post(path: str, length: str, body: bytes = b"") -> bytes:
    return f"POST {path}".encode() + HOST + f"Content-Length: {length}\r\n\r\n".encode() + body


def answers(far: Wire) -> list[bytes]:
    """Return the bodies of what was answered, in its order."""
    found, rest = [], far.written
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        found.append(rest[:length])
        rest = rest[length:]
    return found


async def raises() -> Response:
    raise RuntimeError("a bug of the site")


async def raises_later() -> Response:
    await asyncio.sleep(0)
    raise RuntimeError("a bug of the site")


async def has_a_line_break() -> Response:
    return Response(200, b"", {"X": "a\r\nY: b"})


async def is_cancelled_later() -> Response:
    await asyncio.sleep(0)
    raise asyncio.CancelledError


@pytest.mark.parametrize("answer", [raises, raises_later, has_a_line_break, is_cancelled_later])
async def test_an_answer_that_fails_ends_the_connection(
    answer: Callable[[], Awaitable[Response]],
) -> None:
    caller, far = await a_caller(Answering(answer))

    caller.data_received(get("/a"))
    await settled()

    assert far.is_ended
    assert far.written == b""


async def test_a_length_may_begin_with_thousands_of_zeros() -> None:
    caller, far = await a_caller(Waiting("/a"))

    caller.data_received(post("/a", "0" * 5000 + "5", b"hello"))
    await settled()

    assert answers(far) == [b"/ahello"]


async def test_a_client_that_leaves_is_noticed_whose_body_came_behind_its_head() -> None:
    site = Waiting()
    caller, far = await a_caller(site)
    caller.data_received(post("/a", "5"))
    caller.data_received(b"he")
    caller.data_received(b"llo")
    await until(lambda: "/a" in site.bodies)

    # Only a connection that is read says that its client has left.
    assert far.reads
    caller.connection_lost(None)

    await until(lambda: site.given_up == ["/a"])


async def test_what_comes_before_its_turn_waits_with_its_sender_until_it_is_its_turn() -> None:
    site = Waiting()
    caller, far = await a_caller(site)
    caller.data_received(get("/1"))
    caller.data_received(get("/2"))
    await settled()

    assert site.asked == ["/1"]
    assert not far.reads

    site.let("/1")
    await until(lambda: site.asked == ["/1", "/2"])

    # Nothing waits any more: a client that leaves now is noticed.
    assert far.reads


async def test_nothing_is_read_while_a_request_waits_behind_the_one_that_is_answered() -> None:
    """However many are sent at once: what is kept does not grow with each answer."""
    site = Waiting()
    caller, far = await a_caller(site)
    caller.data_received(get("/0"))
    caller.data_received(get("/1") + get("/2") + get("/3"))
    await settled()

    reads = [far.reads]
    for number in range(3):
        site.let(f"/{number}")
        await settled()
        reads.append(far.reads)

    assert site.asked == ["/0", "/1", "/2", "/3"]
    assert reads == [False, False, False, True]


async def test_what_cannot_be_read_is_refused_when_what_came_before_it_is_answered() -> None:
    site = Waiting()
    caller, far = await a_caller(site)
    caller.data_received(get("/1"))
    caller.data_received(b"nonsense\r\n\r\n")
    caller.data_received(get("/2"))
    await settled()
    assert far.written == b""

    site.let("/1")
    await settled()

    first, why = answers(far)
    assert first == b"/1"
    assert b"not a request" in why
    assert site.asked == ["/1"]


@pytest.mark.parametrize("is_at_once", [True, False])
async def test_requests_that_wait_behind_each_other_are_all_answered(is_at_once: bool) -> None:
    site = Waiting()
    caller, far = await a_caller(site)
    paths = [f"/{number}" for number in range(5)]
    sent = [get("/0"), post("/1", "2", b"ab"), get("/2"), post("/3", "2", b"cd"), get("/4")]
    for piece in [b"".join(sent)] if is_at_once else sent:
        caller.data_received(piece)

    for count, path in enumerate(paths, 1):
        await settled()
        # Each has its turn when the one before it is answered.
        assert site.asked == paths[:count]
        site.let(path)
    await until(lambda: len(answers(far)) == len(paths))

    assert answers(far) == [b"/0", b"/1ab", b"/2", b"/3cd", b"/4"]
    assert far.reads


async def test_a_request_behind_another_is_answered_though_its_body_goes_on_later() -> None:
    site = Waiting("/2")
    caller, far = await a_caller(site)
    caller.data_received(get("/1"))
    caller.data_received(post("/2", "5", b"he"))
    site.let("/1")
    await until(lambda: site.asked == ["/1", "/2"])

    assert far.reads
    caller.data_received(b"llo")

    await until(lambda: answers(far) == [b"/1", b"/2hello"])


async def test_a_client_that_leaves_is_noticed_whose_request_came_as_another_ended() -> None:
    """The loop may read before it tells that the task of the answer before has ended."""
    site = Waiting("/1")
    caller, _ = await a_caller(site)
    site.quick = ()
    loop = asyncio.get_running_loop()

    def comes_next(path: str) -> None:
        if path == "/1":
            loop.call_soon(caller.data_received, get("/2"))

    site.before_end = comes_next
    caller.data_received(get("/1"))
    site.let("/1")
    await until(lambda: site.asked == ["/1", "/2"])
    await settled()

    caller.connection_lost(None)

    await until(lambda: site.given_up == ["/2"])


@pytest.mark.parametrize("cut", range(1, len(get("/1")) + 1))
async def test_requests_are_answered_wherever_their_bytes_are_cut(cut: int) -> None:
    caller, far = await a_caller(Waiting("/1", "/2"))
    sent = get("/1") + get("/2")

    caller.data_received(sent[:cut])
    caller.data_received(sent[cut:])
    await settled()

    assert answers(far) == [b"/1", b"/2"]


async def test_a_chunk_that_is_none_ends_its_body_at_once() -> None:
    site = Waiting()
    caller, far = await a_caller(site)
    caller.data_received(b"POST /a" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n")
    await until(lambda: site.asked == ["/a"])

    caller.data_received(b"nonsense\r\n")

    await until(lambda: far.written.startswith(b"HTTP/1.1 400 "))
    assert b"cut off, or not encoded" in far.written
    assert b"Connection: close" in far.written


async def test_a_header_that_is_not_text_is_refused_and_others_are_not() -> None:
    site = Waiting("/a")
    caller, far = await a_caller(site)

    caller.data_received(b"GET /a" + HOST + "X: é\r\n\r\n".encode())
    await settled()
    caller.data_received(b"GET /a" + HOST + b"X: \xff\r\n\r\n")
    await settled()

    assert answers(far) == [b"/a", b"the header X is not UTF-8"]
    assert site.asked == ["/a"]


@pytest.mark.parametrize(("status", "has_length"), [(200, True), (204, False), (304, False)])
async def test_an_answer_without_a_body_tells_no_length(status: int, has_length: bool) -> None:
    async def answer() -> Response:
        return Response(status, b"")

    caller, far = await a_caller(Answering(answer))

    caller.data_received(get("/a"))
    await settled()

    assert (b"Content-Length" in far.written) is has_length
