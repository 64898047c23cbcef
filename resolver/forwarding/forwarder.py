"""Questions about others' names: from what is kept, or asked of name servers, few at a time.

A question that is under way is asked once, however many wait for it. So a name server that leads
back to us gets no second question from us: a loop ends by its deadline instead of growing.
"""

import asyncio
from functools import partial

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from resolver.answers.records import packed_name
from resolver.answers.wire import NOERROR, NXDOMAIN, SERVFAIL, Query, Sections, built
from resolver.counts import Counts
from resolver.forwarding.exchange import asked
from resolver.forwarding.kept import Replies
from resolver.forwarding.replies import Reply, entries_of, given_to, key_of
from resolver.forwarding.upstreams import Roads, Upstream, attempts
from resolver.shares import Shares

log = Log(__name__)

QUESTIONS_MAX = 256  # under way at once
WAITERS_MAX = 1024  # clients that wait for them
FAILED = Sections(SERVFAIL, is_authoritative=False)
# A server that failed so lately is asked last.
BAD_S = 10.0


class Forwarder:
    """Asks others. `roads` may be changed at any time; questions under way end as they began."""

    def __init__(self, env: Env, counts: Counts) -> None:
        self._env, self._counts = env, counts
        self.roads = Roads()
        self._kept = Replies()
        self._under_way: dict[bytes, asyncio.Task[Reply | None]] = {}
        self._questions, self._waiters = Shares(QUESTIONS_MAX), Shares(WAITERS_MAX)
        self._bad: dict[Upstream, float] = {}

    def take(self, roads: Roads) -> None:
        """Ask others from now on; what the ones of before said is forgotten."""
        if roads != self.roads:
            self.roads = roads
            self._kept.clear()
            self._bad = {one: at for one, at in self._bad.items() if one in roads.every_one}

    def kept(self, query: Query, *, is_stream: bool) -> bytes | None:
        """Return the answer where it is known, and need not be waited for."""
        found = self._kept.get(key_of(query, is_stream=is_stream), self._env.clock.monotonic())
        if found is None:
            return None
        reply, age_s = found
        self._counts.kept.inc()
        return given_to(query, reply, age_s, 0 if is_stream else query.size_bytes)

    async def answer(self, query: Query, source: str, *, is_stream: bool) -> bytes:
        """Return an answer within the deadline of all attempts; SERVFAIL where there is none.

        source: the client's address. It may have no more questions under way than are free.
        """
        size_bytes = 0 if is_stream else query.size_bytes
        reply = await self._reply(query, source, is_stream=is_stream)
        return given_to(query, reply, 0, size_bytes) if reply else built(query, FAILED, size_bytes)

    async def completed(
        self, query: Query, alias: Sections, source: str, *, is_stream: bool
    ) -> bytes:
        """Return the answer of an alias of ours that ends at a name of others."""
        size_bytes = 0 if is_stream else query.size_bytes
        reply = await self._reply(_onwards(query, alias), source, is_stream=is_stream)
        if reply is None or reply.code not in (NOERROR, NXDOMAIN):
            return built(query, FAILED, size_bytes)
        entries = (*alias.entries, *entries_of(reply))
        whole = alias._replace(code=reply.code, entries=entries)
        return built(query, whole, size_bytes)

    async def _reply(self, query: Query, source: str, *, is_stream: bool) -> Reply | None:
        if not self._waiters.take(source):
            self._counts.refused.inc()
            return None
        try:
            task = self._task(query, source, is_stream=is_stream)
            # The others that wait for it go on where this client goes away.
            return await asyncio.shield(task) if task is not None else None
        finally:
            self._waiters.give_back(source)

    def _task(
        self, query: Query, source: str, *, is_stream: bool
    ) -> "asyncio.Task[Reply | None] | None":
        """Return the question under way, asked now where it is not; None where it may not be."""
        key = key_of(query, is_stream=is_stream)
        task = self._under_way.get(key)
        if task is None:
            if not self._questions.take(source):
                self._counts.refused.inc()
                return None
            task = asyncio.create_task(self._asked(query, key, is_stream=is_stream))
            self._under_way[key] = task
            task.add_done_callback(partial(self._ended, key, source))
        return task

    def _ended(self, key: bytes, source: str, _: object) -> None:
        self._under_way.pop(key, None)
        self._questions.give_back(source)

    async def _asked(self, query: Query, key: bytes, *, is_stream: bool) -> Reply | None:
        last: Reply | None = None
        self._counts.forwarded.inc()
        servers = self.roads.for_name(query.labels)
        now_s = self._env.clock.monotonic()
        bad = {one: at for one, at in self._bad.items() if now_s - at < BAD_S}
        for upstream in attempts(servers, bad):
            try:
                reply = await asked(query, upstream, self._env, is_stream=is_stream)
            except (OSError, TimeoutError) as error:
                self._failed(upstream, error)
                continue
            self._bad.pop(upstream, None)
            if reply.code in (NOERROR, NXDOMAIN):
                self._kept.put(key, reply, self._env.clock.monotonic())
                return reply
            # It does not know, or will not say: perhaps another does.
            last = reply
        if last is None:
            self._counts.failed.inc()
        return last

    def _failed(self, upstream: Upstream, error: Exception) -> None:
        self._counts.late.inc()
        if upstream not in self._bad:
            log.warning("a name server does not reply", server=str(upstream), why=repr(error))
        self._bad[upstream] = self._env.clock.monotonic()


def _onwards(query: Query, alias: Sections) -> Query:
    """Return the question for the name at an alias' end."""
    message = query.message[:12] + packed_name(alias.onwards) + query.question[-4:]
    return query._replace(message=message, labels=alias.onwards, end=len(message))
