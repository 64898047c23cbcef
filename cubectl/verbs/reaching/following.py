"""Logs of many containers at once, those of pods that come later too, on one event loop.

Imported by the verb that needs it, for it is slow to import.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from cubectl.api import PAGE_MAX, WATCH_S, Change, change_in
from cubectl.connection.outlet import Outlet
from cubectl.connection.transport import WATCH_SILENCE_S, Unreachable
from cubernetes.api.errors import ApiError, Gone
from cubernetes.api.notation.jsontext import Tree, tree_of
from cubernetes.client.outcome import UnknownOutcome
from cubernetes.client.outcome import Unreachable as NoServer
from cubernetes.client.transport import Transport
from cubernetes.client.wire.frames import Lines, LineTooLong
from cubernetes.client.wire.queries import Query, list_query, watch_query
from cubernetes.client.wire.refusals import refusal_of
from cubernetes.host.blocking import Threads
from cubernetes.host.web.messages import Request


@dataclass(frozen=True, slots=True)
class Plan[S]:
    """What is followed, and what becomes of it; S is what a log is known by.

    path, selection: of the pods; pods, revision: those that there were then.
    logs: those of a pod that can be read. place: the same for all lives of a container.
    asked: of a log, its path and query; is_late: its pod came later, so all of it is new.
    show: what is written of a piece of a log, and, given nothing, when that has ended.
    file: of this process, where it is written. are_over: whether these pods will never say more.
    tell: a hint; fail: something has failed.
    """

    path: str
    selection: Query
    pods: Sequence[Tree]
    revision: str
    streams_max: int
    logs: Callable[[Tree], Sequence[S]]
    place: Callable[[S], Hashable]
    asked: Callable[[S, bool], tuple[str, Query]]
    show: Callable[[S, bytes], bytes]
    file: int
    are_over: Callable[[Sequence[Tree]], bool]
    tell: Callable[[str], None]
    fail: Callable[[S, str], None]


def follow[S](transport: Transport, plan: Plan[S], *, deadline_s: float) -> None:
    """Follow until every pod is over; deadline_s is that of each answer's beginning.

    Raises: Unreachable, and ApiError: the pods can be looked at no longer. OSError: the file takes
    no more.
    """
    try:
        asyncio.run(_followed(transport, plan, deadline_s))
    except (NoServer, UnknownOutcome, LineTooLong) as error:
        raise Unreachable(f"the pods can be watched no longer: {error}") from error


async def _followed[S](transport: Transport, plan: Plan[S], deadline_s: float) -> None:
    following = Following(transport, plan, deadline_s)
    try:
        await following.run()
        await following.written()
    except Exception:
        await following.written()
        raise
    finally:
        await transport.close()


class Following[S]:
    """The logs that are followed now, and those that wait for a place."""

    def __init__(self, transport: Transport, plan: Plan[S], deadline_s: float) -> None:
        self._transport, self._plan, self._deadline_s = transport, plan, deadline_s
        self._pods = {pod["metadata"]["name"]: pod for pod in plan.pods}
        # Every log that was begun or waits, by the pod that it is of, as long as that is there.
        self._known: dict[str, set[S]] = {}
        # By container: of its lives, only the newest waits.
        self._waiting: dict[Hashable, tuple[S, bool]] = {}
        self._tasks: dict[S, asyncio.Task[None]] = {}
        self._has_told = False
        self._revision = plan.revision
        self._outlet = Outlet(Threads(), self._ended)
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        for pod in self._plan.pods:
            self._consider(pod, is_late=False)
        self._end_if_over()
        looking = asyncio.create_task(self._look())
        looking.add_done_callback(self._ended)
        try:
            await self._over
        finally:
            tasks = (looking, *self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def written(self) -> None:
        """Wait until what has come is written. Raises: OSError."""
        await self._outlet.empty()

    async def _look(self) -> None:
        """Keep the pods at hand, for ever. Raises: ApiError, NoServer, UnknownOutcome."""
        while True:
            try:
                if not self._revision:
                    await self._list()
                await self._watch()
            except Gone:
                self._revision = ""
            except TimeoutError:
                continue  # where the server is away, the next watch tells

    async def _list(self) -> None:
        """Find the pods anew, those too that went when nobody looked."""
        pods: dict[str, Tree] = {}
        proceed = ""
        while True:
            query = list_query(self._plan.selection, limit=PAGE_MAX, proceed=proceed)
            request = Request("GET", self._plan.path, tuple(query))
            response = await self._transport.send(request, deadline_s=self._deadline_s)
            body = cast(bytes, response.body)
            if response.status != 200:
                raise refusal_of(response.status, body, response.headers)
            page = tree_of(body, duplicates_refused=False)
            pods |= {pod["metadata"]["name"]: pod for pod in page.get("items") or ()}
            proceed = str(page["metadata"].get("continue") or "")
            if not proceed:
                break
        for name in self._pods.keys() - pods.keys():
            self._forget(name)
        self._pods, self._revision = pods, page["metadata"]["resourceVersion"]
        for pod in pods.values():
            self._consider(pod, is_late=True)
        self._end_if_over()

    async def _watch(self) -> None:
        """Hear of changes until the server ends it. Raises: TimeoutError: it says nothing."""
        query = watch_query(self._plan.selection, self._revision, WATCH_S)
        async with aclosing(self._got(self._plan.path, query)) as pieces:
            lines = Lines()
            while True:
                async with asyncio.timeout(WATCH_SILENCE_S):
                    piece = await anext(pieces, b"")
                if not piece:
                    return
                for line in lines.feed(piece):
                    change = change_in(line, is_whole=True)
                    self._revision = change.tree["metadata"]["resourceVersion"]
                    if change.verdict != "BOOKMARK":
                        self._changed(change)

    def _changed(self, change: Change) -> None:
        name = change.tree["metadata"]["name"]
        if change.verdict == "DELETED":
            self._forget(name)
        else:
            self._pods[name] = change.tree
            self._consider(change.tree, is_late=True)
        self._end_if_over()

    def _forget(self, name: str) -> None:
        """Leave out a pod that is gone, with what waits of it; what is followed has its own end."""
        self._pods.pop(name, None)
        for log in self._known.pop(name, ()):
            waiting, _ = self._waiting.get(self._plan.place(log), (None, False))
            if waiting == log:
                del self._waiting[self._plan.place(log)]

    async def _got(self, path: str, query: Query) -> AsyncGenerator[bytes]:
        """Yield an answer as it comes. Raises: ApiError, NoServer, UnknownOutcome."""
        request = Request("GET", path, tuple(query))
        response = await self._transport.open(request, deadline_s=self._deadline_s)
        if isinstance(response.body, bytes):
            raise refusal_of(response.status, response.body, response.headers)
        async with aclosing(cast(AsyncGenerator[bytes], response.body)) as pieces:
            async for piece in pieces:
                yield piece

    def _consider(self, pod: Tree, *, is_late: bool) -> None:
        """Begin what is new of a pod, as far as there are places."""
        known = self._known.setdefault(pod["metadata"]["name"], set())
        for log in self._plan.logs(pod):
            if log not in known:
                known.add(log)
                self._waiting[self._plan.place(log)] = (log, is_late)
        self._begin()

    def _begin(self) -> None:
        while self._waiting and len(self._tasks) < self._plan.streams_max:
            log, is_late = self._waiting.pop(next(iter(self._waiting)))
            task = self._tasks[log] = asyncio.create_task(self._follow(log, is_late=is_late))
            task.add_done_callback(self._ended)
        if self._waiting and not self._has_told:
            self._has_told = True
            self._plan.tell(
                f"{self._plan.streams_max} logs are followed at once, others wait for their end:"
                " use --max-log-requests to increase the limit"
            )

    async def _follow(self, log: S, *, is_late: bool) -> None:
        try:
            async with aclosing(self._got(*self._plan.asked(log, is_late))) as pieces:
                async for piece in pieces:
                    await self._show(log, piece)
        except ApiError as error:
            self._plan.fail(log, error.message)
        except (NoServer, UnknownOutcome) as error:
            self._plan.fail(log, f"the connection broke: {error}")
        finally:
            del self._tasks[log]
        await self._show(log, b"")
        self._begin()
        self._end_if_over()

    async def _show(self, log: S, piece: bytes) -> None:
        if shown := self._plan.show(log, piece):
            await self._outlet.put(self._plan.file, shown)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Let an error that is nobody's end all of it."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._over.done():
            self._over.set_exception(error)

    def _end_if_over(self) -> None:
        is_idle = not self._tasks and not self._waiting
        if is_idle and not self._over.done() and self._plan.are_over(list(self._pods.values())):
            self._over.set_result(None)
