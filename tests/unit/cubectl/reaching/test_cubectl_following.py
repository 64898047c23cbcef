"""Logs of many pods beside their watch: silence, lives that wait, and who reads nothing."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import pytest

from cubectl.connection.outlet import HELD_BYTES_MAX
from cubectl.verbs.reaching.following import Following, Plan
from cubectl.verbs.reaching.logsources import Source, Which, are_over, readable
from cubernetes.api.notation.jsontext import Tree
from cubernetes.client.wire.queries import Query
from cubernetes.host.blocking import Threads
from cubernetes.host.web.messages import Request, Response

DEADLINE_S = 60.0
PODS = "/pods"


def a_pod(name: str, *, life: int = 0, phase: str = "Running", revision: str = "2") -> Tree:
    told = {"name": "main", "restartCount": life, "state": {"running": {}}}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": revision},
        "spec": {"containers": [{"name": "main"}]},
        "status": {"phase": phase, "containerStatuses": [told]},
    }


class Change(NamedTuple):
    verdict: str
    pod: Tree


class Paper:
    """A server of one watch after the other, and of logs that end when they are told to."""

    def __init__(self, *watches: Sequence[Change | BaseException]) -> None:
        self.watches = list(watches)
        self.lists: list[Sequence[Tree]] = []
        self.asked: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.logs: dict[str, bytes] = {}

    async def send(self, request: Request, *, deadline_s: float) -> Response:
        assert deadline_s > 0
        self.asked.append("list")
        page = {
            "kind": "PodList",
            "metadata": {"resourceVersion": "50"},
            "items": self.lists.pop(0),
        }
        return Response(200, json.dumps(page).encode())

    async def open(self, request: Request, *, deadline_s: float) -> Response:
        assert deadline_s > 0
        if request.path != PODS:
            return Response(200, self._log(request.path))
        self.asked.append(f"watch {dict(request.query)['resourceVersion']}")
        return Response(200, self._watch(self.watches.pop(0) if self.watches else ()))

    async def close(self) -> None:
        return

    def end_of(self, path: str) -> asyncio.Event:
        return self.ends.setdefault(path, asyncio.Event())

    async def _watch(self, told: Sequence[Change | BaseException]) -> AsyncGenerator[bytes]:
        for one in told:
            if isinstance(one, BaseException):
                raise one
            yield json.dumps({"type": one.verdict, "object": one.pod}).encode() + b"\n"
        await asyncio.Event().wait()

    async def _log(self, path: str) -> AsyncGenerator[bytes]:
        self.asked.append(path)
        yield self.logs.get(path, b"")
        await self.end_of(path).wait()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def a_following(
    paper: Paper,
    pods: Sequence[Tree],
    file: int,
    *,
    streams_max: int = 5,
    tell: Callable[[str], None] = lambda _: None,
) -> Following[Source]:
    def asked(log: Source, _: bool) -> tuple[str, Query]:
        return f"{log.pod}/{log.life}", ()

    def fail(log: Source, why: str) -> None:
        raise AssertionError(f"{log}: {why}")

    plan = Plan(
        PODS, (), pods, "1", streams_max, lambda pod: readable(pod, Which()),
        lambda log: log.place, asked, lambda _, piece: piece, file,
        lambda found: are_over(found, is_one=True), tell, fail,
    )  # fmt: skip
    return Following(paper, plan, 1.0)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if is_so():
                return
            await asyncio.sleep(0)


async def test_a_watch_that_falls_silent_goes_on_from_its_revision(pipe: tuple[int, int]) -> None:
    pod, gone = a_pod("a"), a_pod("a", revision="8")
    paper = Paper(
        [Change("MODIFIED", a_pod("a", revision="7")), TimeoutError()], [Change("DELETED", gone)]
    )
    paper.end_of("a/0").set()
    async with asyncio.timeout(DEADLINE_S):
        await a_following(paper, [pod], pipe[1]).run()
    assert [one for one in paper.asked if "watch" in one] == ["watch 1", "watch 7"]


async def test_who_is_not_read_holds_up_no_watch_and_no_other_log(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    paper, hints = Paper([Change("ADDED", a_pod("b")), Change("ADDED", a_pod("c"))]), list[str]()
    paper.logs = {"a/0": b"a" * 4 * HELD_BYTES_MAX}
    following = a_following(paper, [a_pod("a")], writer, streams_max=2, tell=hints.append)
    running = asyncio.create_task(following.run())
    await until(lambda: "b/0" in paper.asked and bool(hints))

    for path in ("a/0", "b/0", "c/0"):
        paper.end_of(path).set()
    read = 0
    async with asyncio.timeout(DEADLINE_S):
        while read < 4 * HELD_BYTES_MAX:
            work = partial(os.read, reader, 1 << 20)
            read += len(await Threads().run(("test", "read"), work, deadline_s=DEADLINE_S))
        await until(lambda: "c/0" in paper.asked)
        await following.written()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_of_a_containers_lives_only_the_newest_waits_for_a_place(
    pipe: tuple[int, int],
) -> None:
    lives = [Change("MODIFIED", a_pod("b", life=life)) for life in range(4)]
    paper = Paper([*lives, TimeoutError()], [])
    running = asyncio.create_task(a_following(paper, [a_pod("a")], pipe[1], streams_max=1).run())
    await until(lambda: paper.asked.count("watch 2") == 1)
    paper.end_of("a/0").set()
    await until(lambda: "b/3" in paper.asked)
    assert [one for one in paper.asked if one.startswith("b/")] == ["b/3"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_waits_of_a_pod_that_is_gone_is_not_asked_for(pipe: tuple[int, int]) -> None:
    gone = [Change("ADDED", a_pod("b")), Change("DELETED", a_pod("b"))]
    paper = Paper([*gone, Change("ADDED", a_pod("c")), TimeoutError()], [])
    running = asyncio.create_task(a_following(paper, [a_pod("a")], pipe[1], streams_max=1).run())
    await until(lambda: paper.asked.count("watch 2") == 1)
    paper.end_of("a/0").set()
    await until(lambda: "c/0" in paper.asked)
    assert "b/0" not in paper.asked
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_named_pod_that_went_while_nobody_looked_is_over(pipe: tuple[int, int]) -> None:
    status = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410}
    paper = Paper([Change("ERROR", status | {"message": "too old"})])
    paper.lists = [()]
    paper.end_of("a/0").set()
    async with asyncio.timeout(DEADLINE_S):
        await a_following(paper, [a_pod("a")], pipe[1]).run()
    assert "list" in paper.asked


async def test_a_reader_that_has_gone_ends_it_at_its_first_piece() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    paper = Paper()
    paper.logs = {"a/0": b"x"}
    try:
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(BrokenPipeError):
                await a_following(paper, [a_pod("a")], writer).run()
    finally:
        os.close(writer)
