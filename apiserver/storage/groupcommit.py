"""Group commit: commits that are under way at once share transactions.

A commit with no other under way is sent at once. While one is, others gather, for at most
`gather_s`, and leave together as few transactions as `batch.py` can make of them. If a joint
transaction does not hold, each of its commits is sent alone and gets its own answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from apiserver.storage.batch import Proposal, batches_of, joined
from apiserver.storage.store import Compare, Op, Outcome, StoreError, Unavailable, WriteInDoubt
from cubernetes.host.clock import Clock

GATHER_S = 0.001
# Commits that may wait for their answer at once; beyond it the caller is told to come again.
PENDING_MAX = 10_000

type Send = Callable[[Proposal, bool], Awaitable[Outcome]]
type Waiting = tuple[Proposal, asyncio.Future[Outcome]]


class GroupCommit:
    """Gathers proposals. `send` carries one out; its flag says whether `found` is wanted."""

    def __init__(self, send: Send, clock: Clock) -> None:
        self._send = send
        self._clock = clock
        self._waiting: list[Waiting] = []
        self._gathering: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._pending = 0
        # Transactions sent and not yet answered.
        self._under_way = 0

    async def commit(self, compares: Sequence[Compare], ops: Sequence[Op]) -> Outcome:
        if self._pending >= PENDING_MAX:
            raise Unavailable(f"{PENDING_MAX} commits are waiting already")
        proposal = Proposal(tuple(compares), tuple(ops))
        self._pending += 1
        try:
            if not self._under_way:
                return await self._sent(proposal, tells_found=True)
            answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            self._waiting.append((proposal, answer))
            if self._gathering is None:
                self._gathering = asyncio.create_task(self._gather())
            return await answer
        finally:
            self._pending -= 1

    async def close(self) -> None:
        """Give up on everything under way; its callers are told that the outcome is unknown."""
        tasks = [*self._sending, *([self._gathering] if self._gathering else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, answer in self._waiting:
            _settle(answer, Unavailable("the store is closed"))
        self._waiting.clear()

    async def _sent(self, proposal: Proposal, *, tells_found: bool) -> Outcome:
        self._under_way += 1
        try:
            return await self._send(proposal, tells_found)
        finally:
            self._under_way -= 1
            # No commit is under way any more: a waiting one need not wait for a batch.
            if not self._under_way and self._waiting:
                self._flush()

    async def _gather(self) -> None:
        await self._clock.sleep(GATHER_S)
        self._gathering = None
        self._flush()

    def _flush(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        # A commit that was cancelled while it waited was never sent: leave it out.
        waiting = [each for each in self._waiting if not each[1].done()]
        self._waiting.clear()
        for places in batches_of([proposal for proposal, _ in waiting]):
            self._start(self._carry_out([waiting[place] for place in places]))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _carry_out(self, group: Sequence[Waiting]) -> None:
        try:
            if len(group) > 1 and await self._share(group):
                return
            await asyncio.gather(*(self._alone(proposal, answer) for proposal, answer in group))
        finally:
            # Cancelled, or a bug: nobody may wait for ever on an answer that will not come.
            for _, answer in group:
                _settle(answer, WriteInDoubt("the store gave up while a commit was under way"))

    async def _share(self, group: Sequence[Waiting]) -> bool:
        """Try one transaction for all; False where nothing was written and each must go alone."""
        try:
            outcome = await self._sent(joined([each for each, _ in group]), tells_found=False)
        except (WriteInDoubt, Unavailable) as error:
            for _, answer in group:
                _settle(answer, type(error)(str(error)))
            return True
        except StoreError:
            # Somebody's fault, such as an ended lease: alone, each hears its own.
            return False
        if outcome.succeeded:
            for _, answer in group:
                _settle(answer, outcome)
        return outcome.succeeded

    async def _alone(self, proposal: Proposal, answer: asyncio.Future[Outcome]) -> None:
        try:
            _settle(answer, await self._sent(proposal, tells_found=True))
        except StoreError as error:
            _settle(answer, error)


def _settle(answer: asyncio.Future[Outcome], result: Outcome | StoreError) -> None:
    if answer.done():
        return
    if isinstance(result, StoreError):
        answer.set_exception(result)
    else:
        answer.set_result(result)
