"""Open watches: how many each user has, when each must hear from us, and its stream of lines."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import override

from apiserver.fairness.places import Places
from apiserver.state.items import Item
from apiserver.state.mirror import Mirror
from apiserver.state.watchcache import FellBehind, Watch, event_line
from cubernetes.api.bodies.envelopes import status_of
from cubernetes.api.coding import codec
from cubernetes.api.errors import Gone, ServiceUnavailable
from cubernetes.host.env import Env
from cubernetes.host.feed import Feed

TICK_S = 1.0


@dataclass(slots=True, eq=False)
class WatchStream:
    """One client that watches: what it has been given is true up to a revision."""

    watch: Watch
    user: str
    form: str
    show: Callable[[Item], bytes]
    # What its first lines are; the events begin behind them.
    first: bytes
    ends_at: float
    # The object of a bookmark at a revision; None where the client wants no bookmarks.
    bookmark: Callable[[int], bytes] | None
    # Whether who watches may no longer: a node that was taken away.
    is_unwelcome: Callable[[], bool] = lambda: False
    bookmark_at: float = field(default=0.0)

    def take_first(self) -> bytes:
        """Return the first lines, and keep them no longer: they may be a whole kind."""
        first, self.first = self.first, b""
        return first

    def is_due(self, now: float) -> bool:
        return self.is_over(now) or (self.bookmark is not None and now >= self.bookmark_at)

    def is_over(self, now: float) -> bool:
        return now >= self.ends_at or self.is_unwelcome()


class WatchRegistry:
    """Every open watch of the server, under one slow clock."""

    def __init__(
        self, mirror: Mirror, env: Env, *, per_user_max: int, bookmark_interval_s: float
    ) -> None:
        self._mirror = mirror
        self._clock = env.clock
        self._bookmark_interval_s = bookmark_interval_s
        self._open: dict[WatchStream, None] = {}
        self._followed: dict[_Lines, None] = {}
        self._places = Places("watches", per_user_max)
        self._is_closing = False
        self._ticker: asyncio.Task[None] | None = None
        self._sent = env.metrics.counter(
            "cube_apiserver_watch_events_total", "Events handed to watches, each watch counted."
        )
        self._cut_off = env.metrics.counter(
            "cube_apiserver_watches_cut_off_total", "Watches that read too slowly and were ended."
        )

    @property
    def count(self) -> int:
        return len(self._open)

    def count_of(self, user: str) -> int:
        """Return how many watches a user has open."""
        return sum(1 for one in self._open if one.user == user)

    def start(self) -> None:
        self._ticker = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """End every stream; clients come again elsewhere, or later."""
        self._is_closing = True
        for watcher in self._open:
            watcher.watch.wake_in_turn()
        for lines in list(self._followed):
            lines.end()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)

    def check_room(self, user: str) -> None:
        """Refuse a watch over the limit of its user.

        Raises: TooManyRequests.
        """
        self._places.check_room(user)

    def stream(self, watcher: WatchStream) -> Feed:
        """Return the lines of a watch. The place is taken at once, and given back at its end."""
        watcher.bookmark_at = self._clock.monotonic() + self._bookmark_interval_s
        self._open[watcher] = None
        self._places.take(watcher.user)
        return _WatchFeed(self, watcher)

    async def followed(
        self, user: str, opening: Awaitable[AsyncIterator[bytes]]
    ) -> AsyncIterator[bytes]:
        """Open another long stream (a log that is followed), counted as a watch of its user."""
        self._places.take(user)
        try:
            lines = _Lines(await opening, lambda: self._leave(lines, user))
        except BaseException:
            self._places.leave(user)
            raise
        self._followed[lines] = None
        if self._is_closing:
            lines.end()
        return lines

    def _leave(self, lines: "_Lines", user: str) -> None:
        del self._followed[lines]
        self._places.leave(user)

    def lines_for(self, watcher: WatchStream) -> tuple[bytes, bool]:
        """Return what is new to a watch, and whether that is the last of it."""
        if watcher.is_unwelcome():
            return b"", True
        try:
            piece = watcher.watch.take()
        except FellBehind:
            self._cut_off.inc()
            # The client's place is gone: it must list again, and is told so in the stream.
            error = Gone("the watch fell behind: the changes it needs are no longer kept")
            return event_line("ERROR", codec.encode(status_of(error))), True
        lines = piece.lines(watcher.form, watcher.show)
        if piece.changes:
            self._sent.inc(len(piece.changes))
        now = self._clock.monotonic()
        is_over = now >= watcher.ends_at
        # A bookmark says that everything before it has been told.
        if (is_over or now >= watcher.bookmark_at) and watcher.bookmark and watcher.watch.is_at_end:
            watcher.bookmark_at = now + self._bookmark_interval_s
            lines += event_line("BOOKMARK", watcher.bookmark(self._mirror.revision))
        return lines, self._is_closing or is_over

    def close(self, watcher: WatchStream) -> None:
        """Forget a watch: its place is free again."""
        watcher.watch.close()
        del self._open[watcher]
        self._places.leave(watcher.user)

    async def _tick(self) -> None:
        """Wake who is due for a bookmark or at its end; let the mirror look after its waits."""
        while True:
            await self._clock.sleep(TICK_S)
            now = self._clock.monotonic()
            for watcher in self._open:
                if watcher.is_due(now):
                    watcher.watch.wake_in_turn()
            await self._mirror.tick()


class _WatchFeed(Feed):
    """One watch's lines, as its client reads them."""

    def __init__(self, registry: WatchRegistry, watcher: WatchStream) -> None:
        self._registry, self._watcher = registry, watcher
        self._is_at_end = self._is_closed = False

    @override
    def take(self) -> bytes:
        if self._watcher.first:
            return self._watcher.take_first()
        lines = b""
        if not self._is_at_end:
            lines, self._is_at_end = self._registry.lines_for(self._watcher)
        if self._is_at_end and not lines:
            self.close()
            raise StopAsyncIteration
        return lines

    @override
    def when_more(self, call: Callable[[], None]) -> None:
        if self._is_at_end:
            asyncio.get_running_loop().call_soon(call)
        else:
            # Also who has read a piece of many waits for its turn: others read theirs meanwhile.
            self._watcher.watch.when_more(call)

    @override
    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._registry.close(self._watcher)


class _Lines:
    """An iterator that gives its place back, once, also where it was never begun.

    A log that is quiet would keep a server that stops from its end.
    """

    def __init__(self, lines: AsyncIterator[bytes], close: Callable[[], None]) -> None:
        self._lines = lines
        self._close: Callable[[], None] | None = close
        self._is_ending = False
        self._waiting: asyncio.Timeout | None = None

    def end(self) -> None:
        """Break off, now where it waits for more, else at the next piece."""
        self._is_ending = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())
            self._waiting = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._next()
        except BaseException:
            self._give_back()
            raise

    async def _next(self) -> bytes:
        """Raises: ServiceUnavailable: the server stops."""
        if self._is_ending:
            raise ServiceUnavailable("the server stops")
        try:
            async with asyncio.timeout(None) as self._waiting:
                return await anext(self._lines)
        except TimeoutError as error:
            if not self._is_ending:
                raise
            raise ServiceUnavailable("the server stops") from error
        finally:
            self._waiting = None

    def _give_back(self) -> None:
        if self._close is not None:
            self._close()
            self._close = None

    async def aclose(self) -> None:
        self._give_back()
        await self._lines.aclose()  # type: ignore[attr-defined]  # a generator has it
