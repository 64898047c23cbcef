"""One call from its request to its answer: it waits for an instance, runs there, and is logged."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from cubernetes.api.serverless.function import Function
from cubernetes.host.env import Env
from cubernetes.host.metrics import Metrics
from cubernetes.host.web.messages import Response
from serverless.board.board import QueueFull, Seat
from serverless.board.kept import Entry, KeptLogs
from serverless.board.key import FunctionKey
from serverless.calls import Calls, NoFunction, NoInstance, Unloadable
from serverless.envelope import CallHead, ResultHead
from serverless.gateway.answers import answer_of, refusal, with_timing
from serverless.instances import Instances, Lost


class Asked(NamedTuple):
    """What a call is made of."""

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    variables: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: bytes = b""


class Functions(Protocol):
    """What is known of functions and their instances."""

    def function(self, key: FunctionKey) -> Function | None: ...

    def instance_key(self, instance: str) -> str:
        """Return the key by which an instance knows us."""
        ...

    def why_waiting(self, key: FunctionKey) -> str:
        """Return what the function's instances wait for."""
        ...


class Invoker:
    """Runs calls."""

    def __init__(
        self, env: Env, calls: Calls, functions: Functions, instances: Instances, logs: KeptLogs
    ) -> None:
        self._env, self._calls, self._functions = env, calls, functions
        self._instances, self._logs = instances, logs
        self._count(env.metrics)

    def _count(self, metrics: Metrics) -> None:
        calls = "Calls of functions that were answered, by how they ended."
        self._answered = metrics.counter("cube_serverless_calls_total", calls, "outcome")
        waits = "How long calls of functions waited for an instance."
        self._waits = metrics.histogram("cube_serverless_wait_seconds", waits)

    async def invoke(self, key: FunctionKey, asked: Asked) -> Response:
        """Return the answer to a call, whatever becomes of it."""
        call = self._env.rng.uuid()
        clock, began_s = self._env.clock, self._env.clock.monotonic()
        function = self._functions.function(key)
        if function is None:
            return self._told("none", 404, f"there is no function {key}")
        spec = function.spec
        head = CallHead(
            call=call,
            method=asked.method,
            path=asked.path,
            params=asked.params,
            variables=asked.variables,
            headers=asked.headers,
            timeout_s=spec.timeout_seconds,
            places=spec.concurrency,
        )
        waited_s = 0.0

        async def work(seat: Seat) -> tuple[str, ResultHead, bytes]:
            nonlocal waited_s
            waited_s = clock.monotonic() - began_s
            secret = self._functions.instance_key(seat.instance)
            result, body = await self._instances.call(
                seat.address, secret, seat.revision, head, asked.body
            )
            return seat.revision, result, body

        response = await self._answered_by(key, work, spec.max_wait_seconds, call)
        self._waits.observe(waited_s)
        total_ms = (clock.monotonic() - began_s) * 1000
        phases_ms = {"wait": waited_s * 1000, "run": total_ms - waited_s * 1000}
        return with_timing(response, call, phases_ms)

    async def _answered_by(
        self,
        key: FunctionKey,
        work: Callable[[Seat], Awaitable[tuple[str, ResultHead, bytes]]],
        wait_s_max: float,
        call: str,
    ) -> Response:
        try:
            revision, result, body = await self._calls.run(key, work, wait_s_max)
        except QueueFull:
            return self._told("full", 429, f"too many calls wait for function {key}", is_later=True)
        except NoFunction as error:
            return self._told("none", 404, str(error))
        except Unloadable as error:
            return self._told("unloadable", 502, f"function {key} cannot be loaded:\n{error}")
        except NoInstance:
            why = self._functions.why_waiting(key)
            told = f"no instance of function {key} within {wait_s_max} s: {why}"
            return self._told("late", 504, told, is_later=True)
        except Lost as error:
            return self._told("lost", 502, f"the instance of function {key} was lost: {error}")
        self._answered.labels(result.outcome).inc()
        entry = Entry(
            call, self._env.clock.now(), result.outcome, result.milliseconds, revision, result.log
        )
        self._logs.add(key, entry)
        return answer_of(str(key), result, body)

    def _told(self, outcome: str, status: int, why: str, *, is_later: bool = False) -> Response:
        self._answered.labels(outcome).inc()
        return refusal(status, why, is_later=is_later)
