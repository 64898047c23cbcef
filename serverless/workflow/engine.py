"""Brings runs of workflows to their ends: it keeps facts, looks, calls, and looks again.

A fact is learned when the broker has acknowledged it. Calls have ids that follow from run, step,
item and epoch, and are calls that survive: so after a crash the same ones are found, those that
have ended among the results and the others under way, and none is begun twice. Before the first
look all that was under way before is known.
"""

import asyncio
import heapq
from collections.abc import Sequence
from functools import partial

import msgspec

from cubernetes.api.serverless.workflow import Workflow
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.supervise import supervised
from cubernetes.host.timing.backoff import backoff_s, jittered_s
from cubernetes.host.timing.waiting import wait_until
from serverless.board.key import FunctionKey
from serverless.bus.bus import Bus, BusTrouble, NoTopic
from serverless.durable.accept import Acceptor, NotAccepted
from serverless.durable.dispatch import Dispatcher
from serverless.durable.outcomes import Ended as CallEnded
from serverless.durable.records import (
    CANCELLED,
    RUNS,
    RUNS_GROUP,
    WORKFLOW,
    Call,
    id_for,
    read,
    value_of,
)
from serverless.durable.whole import records_of
from serverless.envelope import Misread
from serverless.running import Functions
from serverless.workflow.facts import (
    FACTS,
    AnyFact,
    Cancelled,
    Ended,
    Resumed,
    Signalled,
    Started,
    StepEnded,
)
from serverless.workflow.machine import INPUT_BYTES_MAX, Wanted, anew, look_at
from serverless.workflow.state import Run, run_of

log = Log(__name__)

LOOK_S = 1.0
TROUBLE_S = 1.0
WAIT_S = 60.0
# Runs that have not ended, and all that are kept.
OPEN_MAX, RUNS_MAX = 1000, 20_000
GONE = (BusTrouble, NoTopic)


class NoRun(Exception):
    """There is no such run."""


class Unfitting(Exception):
    """The run is not so that this could be done; says why."""


class Engine:
    """All runs."""

    def __init__(
        self,
        env: Env,
        bus: Bus,
        dispatcher: Dispatcher,
        acceptor: Acceptor,
        functions: Functions,
    ) -> None:
        self._env, self._bus, self._dispatcher = env, bus, dispatcher
        self._acceptor, self._functions = acceptor, functions
        self.runs: dict[str, Run] = {}
        self.is_ready = asyncio.Event()
        self._woken = asyncio.Event()
        self._dirty: set[str] = set()
        self._due: list[tuple[int, str]] = []
        self._calls: dict[str, asyncio.Task[None]] = {}
        # Those who wait for the ends of runs.
        self._waiting: dict[str, list[asyncio.Event]] = {}
        told = "Runs of workflows that have ended, by how."
        self._ended = env.metrics.counter("cube_serverless_runs_total", told, "outcome")
        dispatcher.is_wanted = self._is_wanted

    async def run(self) -> None:
        """Run until cancelled."""
        await self._dispatcher.is_ready.wait()
        await self._load()
        while not self._dispatcher.knows_all:
            await self._env.clock.sleep(0.05)
        self._dirty.update(one.id for one in self.runs.values() if one.end is None)
        self.is_ready.set()
        try:
            while True:
                self._woken.clear()
                for run in [self.runs[one] for one in self._take_dirty() if one in self.runs]:
                    await self._turn(run)
                await self._forget_old()
                await wait_until(self._woken, self._pause_s())
        finally:
            self.is_ready.clear()
            tasks = tuple(self._calls.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._calls.clear()

    def now_ms(self) -> int:
        return int(self._env.clock.now().timestamp() * 1000)

    def _take_dirty(self) -> list[str]:
        now_ms = self.now_ms()
        while self._due and self._due[0][0] <= now_ms:
            self._dirty.add(heapq.heappop(self._due)[1])
        found, self._dirty = sorted(self._dirty), set()
        return found

    def _pause_s(self) -> float:
        if self._dirty:
            return 0.0
        if not self._due:
            return LOOK_S
        return min(LOOK_S, max(0.001, (self._due[0][0] - self.now_ms()) / 1000))

    def _touch(self, run: str) -> None:
        self._dirty.add(run)
        self._woken.set()

    async def _load(self) -> None:
        """Learn all facts that there are, however long the bus is away."""
        while True:
            kept: dict[bytes, tuple[AnyFact, bytes]] = {}
            try:
                await self._bus.make(RUNS)
                async for record in records_of(self._bus, RUNS.name, RUNS_GROUP):
                    kept.pop(record.key, None)
                    if not record.value:
                        continue
                    try:
                        kept[record.key] = read(record, FACTS)
                    except Misread as error:
                        log.warning("a record is no fact of a run", key=record.key, why=error)
            except GONE as error:
                log.warning("the runs cannot be read yet", why=error)
                await self._env.clock.sleep(TROUBLE_S)
            else:
                await self._learn_all(kept)
                return

    async def _learn_all(self, kept: dict[bytes, tuple[AnyFact, bytes]]) -> None:
        self.runs = {
            fact.run: run_of(fact, body)
            for fact, body in kept.values()
            if isinstance(fact, Started)
        }
        for key, (fact, body) in kept.items():
            run = self.runs.get(fact.run)
            if run is not None:
                run.learn(fact, body)
            else:
                # Of a run that was being forgotten.
                await self._written(key, b"")

    async def _turn(self, run: Run) -> None:
        """Do what is to be done for a run now."""
        while True:
            look = look_at(run, self.now_ms())
            for fact, body in look.facts:
                await self._written(fact.key.encode(), value_of(fact, body))
                run.learn(fact, body)
            if not look.facts:
                break
        if run.end is not None:
            self._tell_end(run.id, run.end)
        for wanted in look.calls:
            if wanted.id not in self._calls:
                bringing = supervised("step", partial(self._bring, run, wanted), self._env)
                self._calls[wanted.id] = asyncio.create_task(bringing)
        if look.due_ms is not None:
            heapq.heappush(self._due, (look.due_ms, run.id))

    def _tell_end(self, run_id: str, end: Ended) -> None:
        for one in self._waiting.pop(run_id, ()):
            one.set()
        self._ended.labels(end.outcome).inc()
        log.info("a run has ended", run=run_id, outcome=end.outcome, why=end.error)

    async def _bring(self, run: Run, wanted: Wanted) -> None:
        """Have a step's call end, and keep its end as a fact."""
        try:
            fact, body = await self._brought(run, wanted)
            if fact is not None and run.id in self.runs:
                await self._written(fact.key.encode(), value_of(fact, body))
                run.learn(fact, body)
        finally:
            self._calls.pop(wanted.id, None)
        self._touch(run.id)

    async def _brought(self, run: Run, wanted: Wanted) -> tuple[StepEnded | None, bytes]:
        """Return how a step's call ended; None: nobody wanted it any more."""
        key = FunctionKey(run.started.namespace, wanted.function)
        ended = await self._called(run, wanted, key)
        error, body, attempts = f"there is no function {key}", b"", 0
        if ended is not None and ended.head is None:
            error = "its result is kept no longer"
        elif ended is not None and ended.head is not None:
            if ended.head.outcome == CANCELLED:
                return None, b""
            error, body = _output_of(ended)
            attempts = ended.head.attempts
        return StepEnded(
            run=run.id,
            at_ms=self.now_ms(),
            step=wanted.step,
            item=wanted.item,
            epoch=wanted.epoch,
            is_ok=not error,
            error=error,
            attempts=attempts,
            call=wanted.id,
        ), body

    async def _called(self, run: Run, wanted: Wanted, key: FunctionKey) -> CallEnded | None:
        """Return how a call has ended, which is written where it is not there yet.

        None: there is no such function.
        """
        outcomes, refused_count = self._dispatcher.outcomes, 0
        while True:
            if not outcomes.is_ended(wanted.id) and not outcomes.state_of(wanted.id):
                function = self._functions.function(key)
                if function is None:
                    return None
                call = _call_of(run, wanted, key, function.metadata.uid)
                if not await self._is_written(call, wanted.body):
                    refused_count += 1
                    await self._pause(refused_count)
                    continue
            if (ended := await outcomes.wait(wanted.id, WAIT_S)) is not None:
                return ended

    async def _is_written(self, call: Call, body: bytes) -> bool:
        """Write a call, and return whether it is acknowledged.

        One that is just being read again is not known yet, and is not to be written twice.
        """
        if not self._dispatcher.knows_all:
            return False
        try:
            await self._acceptor.write(call, body)
        except NotAccepted:
            return False
        return True

    def _is_wanted(self, call: Call) -> bool:
        """Whether a call that is a step's is still to be begun."""
        run = self.runs.get(call.origin.get("run", "")) if call.source == WORKFLOW else None
        return run is None or not run.is_cancelled

    async def _written(self, key: bytes, value: bytes) -> None:
        """Write until it is acknowledged; what is written twice counts once."""
        failure_count = 0
        while True:
            try:
                await self._bus.write(RUNS.name, key, value)
            except GONE as error:
                failure_count += 1
                if failure_count == 1:
                    log.warning("a fact of a run is not written yet", why=error)
                await self._pause(failure_count)
            else:
                return

    async def _pause(self, count: int) -> None:
        pause_s = backoff_s(count, base_s=0.05, limit_s=5.0)
        await self._env.clock.sleep(jittered_s(pause_s, self._env.rng.fraction()))

    async def _forget_old(self) -> None:
        """Forget runs that ended long ago: their start first, so that none begins again."""
        now_ms = self.now_ms()
        old = [
            one
            for one in self.runs.values()
            if one.end is not None and one.end.at_ms + one.spec.keep_seconds * 1000 < now_ms
        ]
        for run in old:
            for key in run.fact_keys():
                await self._written(key.encode(), b"")
            self.runs.pop(run.id, None)

    async def start(self, workflow: Workflow, body: bytes, repeat_key: str = "") -> str:
        """Return the id of a run that the broker has acknowledged.

        repeat_key: who sends it again means the same run. Raises: NotAccepted.
        """
        uid = workflow.metadata.uid
        run_id = id_for(uid, "run", repeat_key) if repeat_key else self._env.rng.uuid()
        self._check_ready()
        if len(body) > INPUT_BYTES_MAX:
            raise NotAccepted(413, f"the input of a run may have {INPUT_BYTES_MAX} bytes")
        try:
            msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise NotAccepted(400, f"the input of a run must be JSON: {error}") from error
        if run_id in self.runs:
            return run_id
        if len(self.open_runs()) >= OPEN_MAX or len(self.runs) >= RUNS_MAX:
            told = f"{OPEN_MAX} runs are under way, or {RUNS_MAX} are kept"
            raise NotAccepted(503, told, is_later=True)
        fact = Started(
            run=run_id,
            at_ms=self.now_ms(),
            namespace=workflow.metadata.namespace,
            workflow=workflow.metadata.name,
            uid=uid,
            spec=workflow.spec,
        )
        await self._accept(fact, body)
        self.runs.setdefault(run_id, run_of(fact, body))
        self._touch(run_id)
        return run_id

    async def signal(self, run_id: str, signal: str, body: bytes) -> None:
        """A signal has come; of two of one name the first counts. Raises: NoRun, NotAccepted."""
        run = self.find(run_id)
        if run.end is not None:
            raise Unfitting(f"run {run_id} has ended")
        if len(body) > INPUT_BYTES_MAX:
            raise NotAccepted(413, f"what a signal brings may have {INPUT_BYTES_MAX} bytes")
        try:
            msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise NotAccepted(400, f"what a signal brings must be JSON: {error}") from error
        if signal not in {step.signal for step in run.spec.steps.values() if step.signal}:
            raise Unfitting(f"no step of run {run_id} waits for the signal {signal}")
        if signal not in run.signals:
            await self._tell(run, Signalled(run=run_id, at_ms=self.now_ms(), signal=signal), body)

    async def cancel(self, run_id: str) -> None:
        """Let a run go no further: what runs ends, and nothing begins."""
        run = self.find(run_id)
        if run.end is not None:
            raise Unfitting(f"run {run_id} has ended")
        await self._tell(run, Cancelled(run=run_id, at_ms=self.now_ms(), epoch=run.epoch), b"")

    async def resume(self, run_id: str, from_step: str = "") -> None:
        """Let a run that has ended go on, from what failed or from a step."""
        run = self.find(run_id)
        if run.end is None:
            raise Unfitting(f"run {run_id} has not ended")
        if run.end.outcome == "succeeded" and not from_step:
            raise Unfitting(f"run {run_id} has succeeded: name a step to begin again from")
        if from_step and from_step not in run.spec.steps:
            raise Unfitting(f"run {run_id} has no step {from_step}")
        epoch = run.epoch + 1
        fresh = dict.fromkeys(anew(run, look_at(run, self.now_ms()), from_step), epoch)
        known = run.resumed.anew if run.resumed is not None else {}
        fact = Resumed(run=run_id, at_ms=self.now_ms(), epoch=epoch, anew={**known, **fresh})
        await self._tell(run, fact, b"")

    async def _tell(self, run: Run, fact: AnyFact, body: bytes) -> None:
        self._check_ready()
        await self._accept(fact, body)
        run.learn(fact, body)
        self._touch(run.id)

    async def _accept(self, fact: AnyFact, body: bytes) -> None:
        """Raises: NotAccepted."""
        try:
            await self._bus.write(RUNS.name, fact.key.encode(), value_of(fact, body))
        except GONE as error:
            told = f"the broker has not acknowledged it: {error}"
            raise NotAccepted(503, told, is_later=True) from error

    def _check_ready(self) -> None:
        """Raises: NotAccepted."""
        if not self.is_ready.is_set():
            raise NotAccepted(503, "the runs of before are still being read", is_later=True)

    def find(self, run_id: str) -> Run:
        """Raises: NoRun, NotAccepted."""
        self._check_ready()
        if run_id not in self.runs:
            raise NoRun(f"there is no run {run_id}")
        return self.runs[run_id]

    async def wait(self, run_id: str, wait_s: float) -> Run:
        """Return a run, once it has ended or the time is over. Raises: NoRun, NotAccepted."""
        run = self.find(run_id)
        if run.end is None and wait_s > 0:
            woken = asyncio.Event()
            self._waiting.setdefault(run_id, []).append(woken)
            await wait_until(woken, wait_s)
        return run

    def open_runs(self) -> Sequence[Run]:
        return [one for one in self.runs.values() if one.end is None]

    def state_of(self, call: str) -> str:
        """Return waiting, running, resting or accepted; empty: it is not under way."""
        return self._dispatcher.outcomes.state_of(call)


def _call_of(run: Run, wanted: Wanted, key: FunctionKey, uid: str) -> Call:
    origin = {"workflow": run.started.workflow, "run": run.id, "step": wanted.step}
    if wanted.item >= 0:
        origin["item"] = str(wanted.item)
    return Call(
        id=wanted.id,
        namespace=key.namespace,
        name=key.name,
        uid=uid,
        headers={"content-type": "application/json"},
        source=WORKFLOW,
        origin=origin,
        retry=wanted.retry,
    )


def _output_of(ended: CallEnded) -> tuple[str, bytes]:
    """Return the error of a call that ended, and its output in JSON."""
    head = ended.head
    if head is None or head.error or head.status >= 400:
        text = ended.body.decode(errors="replace")[:1000]
        told = head.error if head is not None else ""
        return told or f"it answered {head.status if head else 0}: {text}", b""
    if head.content_type.partition(";")[0].strip() == "application/json":
        try:
            return "", msgspec.json.encode(msgspec.json.decode(ended.body))
        except (msgspec.DecodeError, RecursionError) as error:
            return f"what it answered is no JSON: {error}", b""
    return "", msgspec.json.encode(ended.body.decode(errors="replace"))
