"""Runs the calls of topics: at least once each, and their results count once.

A record is done when what became of it is acknowledged: a result, a record of another attempt, or
a dead letter with a result. If this process dies before that, it is read again. What is read twice
is found among the results and passed over, so that a call has one result, which is its first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from msgspec.structs import replace

from cubernetes.api.serverless.function import Function
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.metrics import Metrics
from cubernetes.host.timing.backoff import backoff_s, jittered_s
from serverless.board.key import FunctionKey
from serverless.bus.bus import Bus, BusTrouble, NoTopic, Record
from serverless.calls import NoFunction, Unloadable
from serverless.durable.cancelling import Cancelling, Withdrawn
from serverless.durable.consuming import Consuming
from serverless.durable.outcomes import Outcomes
from serverless.durable.records import (
    CALLS_GROUP,
    CALLS_PREFIX,
    CANCELLED,
    DEAD,
    RESULTS,
    RESULTS_GROUP,
    RETRIES,
    RETRY_GROUP,
    WORKFLOW,
    Call,
    DeadLetter,
    Failure,
    Result,
    calls_topic,
    read,
    value_of,
)
from serverless.durable.turns import Turns
from serverless.durable.verdicts import (
    Final,
    HandOn,
    RetryLater,
    Verdict,
    error_of,
    status_of,
    verdict_on,
)
from serverless.durable.whole import records_of
from serverless.envelope import Misread, ResultHead
from serverless.running import Asked, Functions, NotBegun, Ran, Runner, Step

log = Log(__name__)

type Work = Callable[[Call, bytes], Awaitable[None]]

TROUBLE_S = 1.0
TOPICS_S = 5.0
ERROR_CHARS_MAX = 4096
# What is told of a call that was cancelled.
WITHDRAWN = "it was cancelled"
FAILURE_CHARS_MAX = 1024


class Dispatcher:
    """Reads calls and those that rest, and brings each to its end."""

    def __init__(self, env: Env, bus: Bus, runner: Runner, functions: Functions) -> None:
        self._env, self._bus, self._runner, self._functions = env, bus, runner, functions
        self.outcomes = Outcomes()
        self.is_ready = asyncio.Event()
        self._calls = Consuming(bus, CALLS_GROUP, self._take_call, env.clock, is_only_reader=True)
        self._retries = Consuming(
            bus, RETRY_GROUP, self._take_resting, env.clock, is_only_reader=True
        )
        self._turns = Turns()
        self._cancelling = Cancelling()
        # One record of a call at a time: another of the same id waits for its end.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # Whether somebody still wants a call: one that nobody wants is not begun.
        self.is_wanted: Callable[[Call], bool] = lambda _: True
        self._count(env.metrics)

    def _count(self, metrics: Metrics) -> None:
        told = "Calls of topics, by what became of an attempt."
        self._settled = metrics.counter("cube_serverless_durable_calls_total", told, "outcome")
        told = "Records of topics that are none of ours and were passed over."
        self._foreign = metrics.counter("cube_serverless_foreign_records_total", told)

    @property
    def knows_all(self) -> bool:
        """Whether all calls that were accepted before we began are known by their ids."""
        return self.is_ready.is_set() and self._calls.is_caught_up and self._retries.is_caught_up

    async def run(self) -> None:
        """Run until cancelled."""
        await self._prepare()
        self.is_ready.set()
        log.info("calls that survive are accepted")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._calls.run())
            tasks.create_task(self._retries.run())
            tasks.create_task(self._keep_topics())

    async def _prepare(self) -> None:
        """Make the topics and read the results that there are, however long the bus is away."""
        is_told = False
        while True:
            try:
                for topic in (RESULTS, DEAD, *RETRIES.values()):
                    await self._bus.make(topic)
                await self._follow_topics()
                await self._read_results()
            except (BusTrouble, NoTopic) as error:
                if not is_told:
                    log.warning("no broker answers yet", why=error)
                is_told = True
                await self._env.clock.sleep(TROUBLE_S)
            else:
                self._retries.want({topic.name: "earliest" for topic in RETRIES.values()})
                return

    async def _read_results(self) -> None:
        async for record in records_of(self._bus, RESULTS.name, RESULTS_GROUP):
            self._learn(record)

    def _learn(self, record: Record) -> None:
        try:
            result, body = read(record, Result)
        except Misread:
            self._foreign.inc()
        else:
            self.outcomes.end(result, body)

    async def _keep_topics(self) -> None:
        """Follow the topics of functions; remove those whose function is gone, once read out."""
        while True:
            await self._env.clock.sleep(TOPICS_S)
            try:
                await self._follow_topics()
            except BusTrouble as error:
                log.debug("the topics cannot be listed", why=error)

    async def _follow_topics(self) -> None:
        names = [name for name in await self._bus.topics() if name.startswith(CALLS_PREFIX)]
        gone = {one for one in names if not self._is_alive(one) and self._calls.is_read_out(one)}
        self._calls.want({name: "earliest" for name in names if name not in gone})
        for name in gone:
            await self._bus.remove(name)
            log.info("the topic of a function that is gone is removed", topic=name)

    def _is_alive(self, topic: str) -> bool:
        namespace, _, rest = topic.removeprefix(CALLS_PREFIX).partition(".")
        name, _, uid = rest.rpartition(".")
        function = self._function(namespace, name)
        return function is not None and function.metadata.uid.startswith(uid)

    def _function(self, namespace: str, name: str, uid: str = "") -> Function | None:
        found = self._functions.function(FunctionKey(namespace, name))
        return found if found is not None and uid in ("", found.metadata.uid) else None

    async def write_call(self, call: Call, body: bytes) -> None:
        """Write a call into its function's topic, which is made where there is none.

        Raises: BusTrouble: it may have been written all the same.
        """
        topic = calls_topic(call.namespace, call.name, call.uid)
        if not self._calls.wants(topic.name):
            await self._bus.make(topic)
            await self._follow_topics()
        await self._bus.write(topic.name, call.id.encode(), value_of(call, body))

    async def _take_call(self, record: Record) -> None:
        await self._take(record, self._run)

    async def _take_resting(self, record: Record) -> None:
        await self._take(record, self._rest)

    async def _take(self, record: Record, work: Work) -> None:
        try:
            call, body = read(record, Call)
        except Misread as error:
            self.pass_over(record, error)
        else:
            await self._bring(call, body, work)

    def pass_over(self, record: Record, why: object) -> None:
        """A record is none that we could do anything with: it is counted."""
        self._foreign.inc()
        log.warning("a record is no call", topic=record.place.topic, at=record.offset, why=why)

    async def bring(self, call: Call, body: bytes) -> None:
        """Return when what became of a call's attempt is acknowledged."""
        await self._bring(call, body, self._run)

    async def bring_in_place(self, call: Call, body: bytes) -> None:
        """Return when a call has ended for ever; its further attempts are made here."""
        await self._bring(call, body, self._run_in_place)

    def cancel(self, call: str) -> None:
        """Have a call that is under way end without another attempt; one that runs is interrupted.

        It has ended when that is acknowledged, as every call has; after a crash before, it goes on.
        """
        if self.outcomes.state_of(call) and not self.outcomes.is_ended(call):
            self._cancelling.mark(call)

    async def refuse(self, call: Call, why: str) -> None:
        """Have a call that cannot be run end as a dead letter, without its body."""

        async def refused(call: Call, _: bytes) -> None:
            failed = self._failed(call, why)
            await self.bury(failed, b"", why, is_whole=False)
            await self._end(failed, ResultHead(outcome="error", error=why), b"", "failed")

        await self._bring(call, b"", refused)

    async def _run_in_place(self, call: Call, body: bytes) -> None:
        while (function := self._function(call.namespace, call.name, call.uid)) is not None:
            try:
                verdict = await self._attempted(call, body, function)
            except NoFunction:
                break
            if isinstance(verdict, HandOn):
                call, body = verdict.call, verdict.body
                continue
            if isinstance(verdict, Final):
                await self._settle(call, body, verdict)
                return
            self._settled.labels("again").inc()
            self.outcomes.tell(call.id, "resting")
            call = replace(self._failed(call, verdict.error), attempt=call.attempt + 1)
            async with self._cancelling.interruptible(call):
                await self._env.clock.sleep(verdict.delay_s)
        await self._settle_gone(call)

    async def _bring(self, call: Call, body: bytes, work: Work) -> None:
        self.outcomes.begin(call.id, "waiting")
        try:
            lock = self._locks.setdefault(call.id, asyncio.Lock())
            async with lock:
                if not self.outcomes.is_ended(call.id):
                    await self._worked(call, body, work)
        finally:
            self.outcomes.leave(call.id)

    async def _worked(self, call: Call, body: bytes, work: Work) -> None:
        try:
            await work(call, body)
        except Withdrawn as withdrawn:
            call = withdrawn.call
            # A run hears of it as of a step that has failed.
            outcome = "failed" if call.source == WORKFLOW else CANCELLED
            await self._end(call, ResultHead(outcome="error", error=WITHDRAWN), b"", outcome)

    async def _rest(self, call: Call, body: bytes) -> None:
        """Wait until a call's next attempt is due, and write it into its function's topic."""
        self.outcomes.tell(call.id, "resting")
        now_ms = self._env.clock.now().timestamp() * 1000
        async with self._cancelling.interruptible(call):
            await self._env.clock.sleep(max(0.0, (call.due_ms - now_ms) / 1000))
        if self._function(call.namespace, call.name, call.uid) is None:
            await self._settle_gone(call)
            return
        # Until it is read again somebody may ask for it, or cancel it.
        self.outcomes.accept(call.id)
        await self._written(lambda: self.write_call(call, body))

    async def _run(self, call: Call, body: bytes) -> None:
        function = self._function(call.namespace, call.name, call.uid)
        if function is None:
            await self._settle_gone(call)
            return
        if not self.is_wanted(call):
            told = "its run goes no further"
            await self._end(call, ResultHead(outcome="error", error=told), b"", CANCELLED)
            return
        try:
            verdict = await self._attempted(call, body, function)
        except NoFunction:
            await self._settle_gone(call)
        else:
            await self._settle(call, body, verdict)

    async def _attempted(self, call: Call, body: bytes, function: Function) -> Verdict:
        """Return what becomes of a call that was tried; one that cannot begin is no attempt.

        Raises: NoFunction, Withdrawn.
        """
        spec = function.spec
        # Half of the places to wait are for direct calls.
        limit = max(1, min(spec.concurrency * spec.max_instances, spec.queue // 2))
        interruptible = self._cancelling.interruptible(call)
        async with interruptible, self._turns.turn(call.function, limit):
            self.outcomes.tell(call.id, "running")
            try:
                ran = await self._run_until_begun(call, body)
                result, answer = ran.result, ran.body
                if ran.onward is not None:
                    return self._onward(call, ran.onward)
            except Unloadable as error:
                told = f"the function cannot be loaded: {error}"
                result, answer = ResultHead(outcome="error", error=told), b""
            except NoFunction:
                raise
            except Exception as error:  # noqa: BLE001  one call must not keep all others from theirs
                log.bug("a call of a topic failed", error, call=call.id)
                result, answer = ResultHead(outcome="error", error="an error of the platform"), b""
        now_ms = int(self._env.clock.now().timestamp() * 1000)
        return verdict_on(call, result, answer, call.retry or spec.retry, now_ms)

    def _onward(self, call: Call, step: Step) -> HandOn:
        """Return a call as its next function is to be given it. Raises: NoFunction."""
        function, asked = self._functions.function(step.function), step.asked
        if function is None:
            raise NoFunction(f"there is no function {step.function}")
        handed = replace(
            call,
            name=step.function.name,
            uid=function.metadata.uid,
            method=asked.method,
            path=asked.path,
            params=asked.params,
            variables={},
            headers=asked.headers,
            attempt=1,
            due_ms=0,
            failures=(),
            chain=asked.chain,
        )
        return HandOn(handed, asked.body)

    async def _run_until_begun(self, call: Call, body: bytes) -> Ran:
        """Raises: NoFunction, Unloadable."""
        asked = Asked(
            method=call.method,
            path=call.path,
            params=call.params,
            variables=call.variables,
            headers=call.headers,
            body=body,
            attempt=call.attempt,
            source=call.source,
            origin=call.origin,
            chain=call.chain,
            deadline_ms=call.deadline_ms,
        )
        refused_count = 0
        while True:
            try:
                ran = await self._runner.run(call.function, asked, call.id)
            except NotBegun:
                refused_count += 1
                pause_s = backoff_s(refused_count, base_s=0.1, limit_s=5.0)
                await self._env.clock.sleep(jittered_s(pause_s, self._env.rng.fraction()))
            else:
                return ran

    async def _settle(self, call: Call, body: bytes, verdict: Verdict) -> None:
        at = self._env.clock.now()
        match verdict:
            case HandOn(handed, given):
                # Until it is read again somebody may ask what became of it.
                self.outcomes.accept(call.id)
                await self._written(lambda: self.write_call(handed, given))
                self._settled.labels("handed").inc()
            case RetryLater(delay_s, error):
                self.outcomes.accept(call.id)
                due_ms = int(at.timestamp() * 1000) + delay_s * 1000
                resting = replace(
                    self._failed(call, error), attempt=call.attempt + 1, due_ms=due_ms
                )
                await self._write(RETRIES[delay_s].name, call.id, value_of(resting, body))
                self._settled.labels("again").inc()
            case Final(result, answer, is_dead):
                if is_dead:
                    error = error_of(result)
                    call = self._failed(call, error)
                    # A step's end is in its run, which can be resumed: it has no letter.
                    if call.source != WORKFLOW:
                        await self.bury(call, body, error)
                await self._end(call, result, answer, "failed" if is_dead else "ok")

    async def bury(self, call: Call, body: bytes, error: str, *, is_whole: bool = True) -> None:
        """Write a dead letter."""
        at = self._env.clock.now().isoformat()
        told = error[:ERROR_CHARS_MAX]
        letter = DeadLetter(call=call, error=told, at=at, is_whole=is_whole)
        await self._write(DEAD.name, call.uid, value_of(letter, body))

    async def _settle_gone(self, call: Call) -> None:
        told = f"function {call.function} has been deleted"
        await self._end(call, ResultHead(outcome="error", error=told), b"", "gone")

    async def _end(self, call: Call, result: ResultHead, body: bytes, outcome: str) -> None:
        told = Result(
            call=call.id,
            namespace=call.namespace,
            name=call.name,
            outcome=outcome,
            status=status_of(result, outcome),
            content_type=result.content_type,
            headers=result.headers,
            error=result.error[:ERROR_CHARS_MAX],
            attempts=call.attempt,
            milliseconds=result.milliseconds,
            at=self._env.clock.now().isoformat(),
            failures=call.failures,
        )
        await self._write(RESULTS.name, call.id, value_of(told, body))
        self.outcomes.end(told, body)
        self._cancelling.forget(call.id)
        self._settled.labels(outcome).inc()

    def _failed(self, call: Call, error: str) -> Call:
        """Return a call with one more failure told."""
        at = self._env.clock.now().isoformat()
        told = Failure(at=at, error=error[:FAILURE_CHARS_MAX])
        return replace(call, failures=(*call.failures, told))

    async def _write(self, topic: str, key: str, value: bytes) -> None:
        await self._written(lambda: self._bus.write(topic, key.encode(), value))

    async def _written(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write until it is acknowledged; what is written twice counts once."""
        failure_count = 0
        while True:
            try:
                await write()
            except (BusTrouble, NoTopic) as error:
                failure_count += 1
                if failure_count == 1:
                    log.warning("what became of a call is not written yet", why=error)
                pause_s = backoff_s(failure_count, base_s=0.2, limit_s=5.0)
                await self._env.clock.sleep(jittered_s(pause_s, self._env.rng.fraction()))
            else:
                return
