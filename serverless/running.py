"""One attempt of a call: it waits for an instance, runs there, and is logged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from cubernetes.api.serverless.function import Function, FunctionSpec
from cubernetes.host.env import Env
from cubernetes.host.metrics import Counter, Metrics
from serverless.board.board import QueueFull, Seat
from serverless.board.kept import Entry, KeptLogs
from serverless.board.key import FunctionKey
from serverless.calls import Calls, NoFunction, NoInstance, Unloadable
from serverless.chain import INVOKE, ONWARD, call_at, origin_at, why_not_onward
from serverless.envelope import CallHead, Params, ResultHead
from serverless.instances import Instances, Lost, NotTaken, Outdated, Unloaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a call is made of.

    chain: the functions that have handed it on, the first first; source and origin stay those of
    the first call, and a function that has it from another is told of that one. deadline_ms: when
    the whole chain is ended, in milliseconds of the epoch; 0: never.
    """

    method: str
    path: str
    params: Params = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    attempt: int = 1
    source: str = "http"
    origin: Mapping[str, str] = field(default_factory=dict)
    chain: tuple[str, ...] = ()
    deadline_ms: int = 0


class Step(NamedTuple):
    """The next function of a chain, and what it is asked."""

    function: FunctionKey
    asked: Asked


# A call that waited for longer has waited for an instance.
COLD_S = 0.01


class Ran(NamedTuple):
    """How an attempt has ended; waited_s: for an instance; revision: where it ran, if it is known.

    onward: which function is to answer in this one's place, where it said so and may.
    """

    result: ResultHead
    body: bytes
    waited_s: float
    onward: Step | None = None
    revision: str = ""


class NotBegun(Exception):
    """The call has not begun, and may begin later. outcome: of our counters; the text says why."""

    def __init__(self, outcome: str, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome


class Passed(Exception):
    """The call's deadline has passed."""


class Functions(Protocol):
    """What is known of functions and their instances."""

    def function(self, key: FunctionKey) -> Function | None: ...

    def instance_key(self, instance: str) -> str:
        """Return the key by which an instance knows us."""
        ...

    def lost(self, instance: str, revision: str) -> None:
        """An instance has not the revision that it was to run."""
        ...

    def spoiled(self, instance: str, why: str) -> None:
        """An instance will never run a call."""
        ...

    def why_waiting(self, key: FunctionKey) -> str:
        """Return what the function's instances wait for."""
        ...


class Runner:
    """Runs attempts of calls."""

    def __init__(
        self, env: Env, calls: Calls, functions: Functions, instances: Instances, logs: KeptLogs
    ) -> None:
        self._env, self._calls, self._functions = env, calls, functions
        self._instances, self._logs = instances, logs
        self._count(env.metrics)

    def _count(self, metrics: Metrics) -> None:
        calls = "Calls of functions that were answered, by how they ended."
        self._answered = metrics.counter("cube_serverless_calls_total", calls, "outcome")
        # Of each outcome its counter: looking one up costs more than counting.
        self._counters: dict[str, Counter] = {}
        waits = "How long calls of functions waited for an instance."
        self._waits = metrics.histogram("cube_serverless_wait_seconds", waits)

    async def run(self, key: FunctionKey, asked: Asked, call: str) -> Ran:
        """Return how an attempt has ended, one that was lost included.

        Raises: NoFunction; Unloadable; NotBegun: too many wait, or no instance came in time.
        """
        function = self._functions.function(key)
        if function is None:
            self._count_end("none")
            raise NoFunction(f"there is no function {key}")
        spec, clock = function.spec, self._env.clock
        began_s, waited_s = clock.monotonic(), 0.0
        wait_s: float = spec.max_wait_seconds
        part = call_at(call, asked.chain)

        async def work(seat: Seat) -> tuple[str, ResultHead, bytes]:
            nonlocal waited_s
            waited_s = clock.monotonic() - began_s
            secret = self._functions.instance_key(seat.instance)
            head = self._head(asked, call, spec)
            try:
                result, body = await self._instances.call(
                    seat.address, secret, seat.revision, head, asked.body
                )
            except NotTaken as error:
                self._not_taken(seat, error)
                raise
            return seat.revision, result, body

        try:
            wait_s = self._span_s(asked, wait_s)
            revision, result, body = await self._calls.run(key, work, wait_s)
        except Passed as error:
            revision, result, body = "", ResultHead(outcome="timeout", error=str(error)), b""
        except Lost as error:
            told = f"its instance was lost: {error}"
            revision, result, body = "", ResultHead(outcome="lost", error=told), b""
        except (QueueFull, NoFunction, NoInstance, Unloadable) as error:
            raise self._refused(key, error, wait_s) from error
        finally:
            self._waits.observe(waited_s)
        onward: Step | None = None
        if result.outcome == ONWARD:
            result, onward = self._onward(function, result, body, asked)
        self._count_end(result.outcome)
        entry = Entry(
            part,
            clock.now(),
            result.outcome,
            result.milliseconds,
            revision,
            result.log,
            is_cold=waited_s > COLD_S,
        )
        self._logs.add(key, entry)
        return Ran(result, body, waited_s, onward, revision)

    def _not_taken(self, seat: Seat, error: NotTaken) -> None:
        """Tell what an instance that has not begun with a call can no longer do."""
        if isinstance(error, Unloaded):
            self._functions.lost(seat.instance, seat.revision)
        elif isinstance(error, Outdated):
            self._functions.spoiled(seat.instance, str(error))

    def _count_end(self, outcome: str) -> None:
        counter = self._counters.get(outcome)
        if counter is None:
            counter = self._counters[outcome] = self._answered.labels(outcome)
        counter.inc()

    def _span_s(self, asked: Asked, most_s: float) -> float:
        """Return how long a call may go on, at most_s at most. Raises: Passed."""
        if not asked.deadline_ms:
            return most_s
        left_s = asked.deadline_ms / 1000 - self._env.clock.now().timestamp()
        if left_s <= 0:
            raise Passed("the call's deadline has passed")
        return min(most_s, left_s)

    def _head(self, asked: Asked, call: str, spec: FunctionSpec) -> CallHead:
        """Return what an instance is told of a call that begins now. Raises: Passed."""
        span_s = self._span_s(asked, spec.timeout_seconds)
        own_ms = int((self._env.clock.now().timestamp() + spec.timeout_seconds) * 1000)
        return CallHead(
            call=call_at(call, asked.chain),
            method=asked.method,
            path=asked.path,
            params=asked.params,
            variables=asked.variables,
            headers=asked.headers,
            timeout_s=span_s,
            places=spec.concurrency,
            attempt=asked.attempt,
            source=INVOKE if asked.chain else asked.source,
            origin=origin_at(call, asked.chain) if asked.chain else asked.origin,
            deadline_ms=min(own_ms, asked.deadline_ms or own_ms),
        )

    def _onward(
        self, function: Function, result: ResultHead, body: bytes, asked: Asked
    ) -> tuple[ResultHead, Step | None]:
        """Return the next step of a chain; where there is none, an error in the result's place."""
        meta, onward = function.metadata, result.onward
        if onward is None:
            return replace(result, outcome="error", error="Invoke of no function"), None
        key = FunctionKey(meta.namespace, onward.function)
        why = why_not_onward(function, onward, body, asked.chain)
        if not why and self._functions.function(key) is None:
            why = f"Invoke of {onward.function!r}: there is no function {key}"
        if why:
            return replace(result, outcome="error", error=why, onward=None), None
        return result, Step(
            key,
            Asked(
                method=onward.method,
                path=onward.path,
                params=onward.params,
                headers=onward.headers,
                body=body,
                source=asked.source,
                origin=asked.origin,
                chain=(*asked.chain, meta.name),
                deadline_ms=asked.deadline_ms,
            ),
        )

    def _refused(self, key: FunctionKey, error: Exception, wait_s: float) -> Exception:
        """Return what is told of a call that has not begun."""
        match error:
            case QueueFull():
                told = NotBegun("full", f"too many calls wait for function {key}")
            case NoInstance():
                why = self._functions.why_waiting(key)
                told = NotBegun("late", f"no instance of function {key} within {wait_s:g} s: {why}")
            case _:
                outcome = "unloadable" if isinstance(error, Unloadable) else "none"
                self._count_end(outcome)
                return error
        self._count_end(told.outcome)
        return told
