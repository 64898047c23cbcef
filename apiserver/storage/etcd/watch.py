"""One watch of etcd, kept alive over any number of connections, without a gap or a twin.

`next` reads; beside it one small task asks for progress when nothing was heard for a while or when
somebody wants it, and drops a stream that no longer answers. What is read is handed out before
more is read, so a slow consumer costs no memory here: gRPC's flow control makes etcd wait.
"""

import asyncio
import contextlib
from typing import Any

import grpc

from apiserver.storage.etcd import rpc_pb2 as rpc
from apiserver.storage.etcd.channel import WATCH, Channel, Endpoint, was_cancelled
from apiserver.storage.etcd.cursor import Cursor
from apiserver.storage.etcd.wire import (
    PreviousMissing,
    oldest_request,
    progress_request,
    watch_request,
)
from apiserver.storage.store import Changes, Compacted
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.backoff import backoff_s, jittered_s

log = Log(__name__)

# Pause between two requests for a progress that is still wanted.
ASK_AGAIN_S = 0.1
BACKOFF_S = 0.1
BACKOFF_MAX_S = 2.0


class EtcdWatch:
    """The watch of one prefix. Only one task may be in `next` at a time."""

    def __init__(self, prefix: str, after: int, channel: Channel, env: Env) -> None:
        self._prefix = prefix
        self._cursor = Cursor(after)
        self._channel = channel
        self._env = env
        self._stream: Any = None
        self._endpoint: Endpoint = channel.current
        self._asking: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        # The revision that somebody wants to hear of.
        self._wanted = 0
        # Since when `next` has been waiting for an answer; None while the consumer works.
        self._silent_since: float | None = None
        self._is_dropped = False
        self._failure_count = 0
        self._ended = asyncio.Event()

    async def next(self) -> Changes | None:
        """Return the next changes, or None once the watch is closed.

        Raises:
            Compacted: a change that is due, or the entry before it, is no longer kept.
        """
        while not self._ended.is_set():
            answer = await self._answer()
            if answer is None:
                await self._pause()
                continue
            if answer.canceled:
                await self._canceled(answer)
                continue
            if answer.created:
                self._created()
            try:
                changes = self._cursor.take(answer)
            except PreviousMissing:
                floor = answer.events[0].kv.mod_revision
                raise Compacted(await oldest_revision(self._channel, floor)) from None
            if changes is not None:
                return changes
        return None

    def want(self, revision: int) -> None:
        """Ask etcd for progress until it has told of at least this revision."""
        self._wanted = max(self._wanted, revision)
        self._asked.set()

    def close(self) -> None:
        """End the stream; a `next` that is waiting returns None."""
        self._ended.set()
        self._drop("")

    async def _answer(self) -> rpc.WatchResponse | None:
        """Return what etcd says next; None where there is no connection."""
        self._silent_since = self._env.clock.monotonic()
        try:
            if self._stream is None:
                await self._connect()
            answer: rpc.WatchResponse = await self._stream.read()
        except grpc.aio.AioRpcError as status:
            self._drop(f"{status.code().name}: {status.details()}")
            return None
        except (TimeoutError, asyncio.InvalidStateError) as error:
            self._drop(repr(error))
            return None
        except asyncio.CancelledError:
            # gRPC says this of a stream that we dropped ourselves, too.
            if not self._is_dropped or was_cancelled():
                raise
            self._drop("" if self._ended.is_set() else "etcd stopped answering")
            return None
        finally:
            self._silent_since = None
        if answer is grpc.aio.EOF:
            self._drop("etcd ended the stream")
            return None
        return answer

    async def _canceled(self, answer: rpc.WatchResponse) -> None:
        if not answer.compact_revision:
            self._drop(answer.cancel_reason)
            await self._pause()
        elif self._cursor.may_begin_at(answer.compact_revision):
            self._drop("")
        else:
            raise Compacted(answer.compact_revision)

    async def _connect(self) -> None:
        self._endpoint = self._channel.current
        self._is_dropped = False
        self._cursor.restart()
        stream = self._stream = self._endpoint.stream(WATCH)
        async with asyncio.timeout(self._channel.settings.deadline_s):
            await stream.write(watch_request(self._prefix, start_revision=self._cursor.begin))
        self._asking = asyncio.create_task(self._keep_asking(stream))

    def _created(self) -> None:
        if self._failure_count:
            log.info("watch goes on", prefix=self._prefix, revision=self._cursor.delivered)
        self._failure_count = 0

    def _drop(self, why: str) -> None:
        """Let go of the stream; why is what was wrong with it, empty where nothing was."""
        self._is_dropped = True
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None
        if not why:
            return
        self._channel.turn_from(self._endpoint)
        if not self._failure_count:
            log.warning("watch lost its connection", prefix=self._prefix, why=why)

    async def _pause(self) -> None:
        if self._ended.is_set():
            return
        self._failure_count += 1
        pause_s = backoff_s(self._failure_count, base_s=BACKOFF_S, limit_s=BACKOFF_MAX_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(jittered_s(pause_s, self._env.rng.fraction())):
                await self._ended.wait()

    async def _keep_asking(self, stream: Any) -> None:
        while True:
            is_wanted = self._cursor.delivered < self._wanted
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(
                    ASK_AGAIN_S if is_wanted else self._channel.settings.watch_idle_s
                ):
                    await self._asked.wait()
            self._asked.clear()
            if self._silent_since is None:
                continue
            silence_s = self._env.clock.monotonic() - self._silent_since
            if silence_s > self._channel.settings.watch_stall_s or not await self._ask(stream):
                # Wakes the reader, which sees a stream that was dropped and makes another.
                self._is_dropped = True
                stream.cancel()
                return

    async def _ask(self, stream: Any) -> bool:
        try:
            async with asyncio.timeout(self._channel.settings.deadline_s):
                await stream.write(progress_request())
        except (grpc.aio.AioRpcError, TimeoutError, asyncio.InvalidStateError):
            return False
        return True


async def oldest_revision(channel: Channel, floor: int) -> int:
    """Return the oldest revision that can still be read, at least floor.

    etcd tells it only to a watch that begins too early, so one is made. Where the answer does not
    come, floor is returned.
    """
    stream = channel.current.stream(WATCH, deadline_s=channel.settings.deadline_s)
    try:
        await stream.write(oldest_request())
        while (answer := await stream.read()) is not grpc.aio.EOF:
            if answer.canceled:
                return max(floor, int(answer.compact_revision))
    except grpc.aio.AioRpcError as status:
        log.debug("oldest revision not told", why=status.code().name)
    finally:
        stream.cancel()
    return floor
