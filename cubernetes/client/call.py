"""One call to the API: its attempts, the pauses between them, and every way in which it can end.

What is repeated, and why that is safe:

* Unreachable: nothing was sent.
* 429 and 503: the server did nothing, and often says how long to wait.
* Unknown (also 500 and 504 to a write): only where the call says how a refusal of the second
  attempt is to be read after a first one that may have worked; see `Settle`.

All retries of a client are paid from one budget, so that an outage is not answered by a multiple
of the usual traffic.
"""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import TypeGuard

from cubernetes.api.errors import (
    DISRUPTION_BUDGET,
    ApiError,
    InternalError,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
)
from cubernetes.client.outcome import TransportError, UnknownOutcome, Unreachable
from cubernetes.client.transport import Transport
from cubernetes.client.wire.refusals import refusal_of
from cubernetes.host.env import Env
from cubernetes.host.timing.backoff import backoff_s, jittered_s
from cubernetes.host.web.messages import Request, Response

RETRY_BASE_S = 0.1
RETRY_MAX_S = 5.0
ATTEMPT_S_MIN = 0.1
BUDGET_MAX = 10.0  # retries that may come in a burst
BUDGET_SHARE = 0.1  # retries earned by each call

# Given the refusal that came after a doubtful attempt, return the body of the success that it
# turns out to be, or raise the refusal.
type Settle = Callable[[ApiError], Awaitable[bytes]]


class RetryBudget:
    """At most one retry for ten calls in the long run, with a burst of ten."""

    def __init__(self) -> None:
        self._tokens = BUDGET_MAX

    def earn(self) -> None:
        self._tokens = min(BUDGET_MAX, self._tokens + BUDGET_SHARE)

    def spend(self) -> bool:
        """Take one retry; False when there is none left."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Caller:
    """Sends requests for a client, and repeats those that may be repeated."""

    def __init__(self, transport: Transport, env: Env, deadline_s: float) -> None:
        self.transport = transport
        self._env = env
        self._deadline_s = deadline_s
        self._budget = RetryBudget()
        attempts = env.metrics.counter(
            "cube_client_attempts_total", "Requests sent, by how they ended.", "method", "ended"
        )
        spans = env.metrics.histogram(
            "cube_client_call_seconds", "Calls, their retries and pauses included.", "method"
        )
        # Labels are looked up once for each combination: it costs more than the counting.
        self._attempts, self._spans = cache(attempts.labels), cache(spans.labels)

    async def call(self, request: Request, settle: Settle | None = None) -> bytes:
        """Return the body of the success.

        Raises: ApiError, Unreachable, or (for a write) Unknown.
        """
        clock = self._env.clock
        began_at = clock.monotonic()
        try:
            return await self._repeated(request, settle)
        finally:
            self._spans(request.method).observe(clock.monotonic() - began_at)

    async def _repeated(self, request: Request, settle: Settle | None) -> bytes:
        clock = self._env.clock
        ends_at = clock.monotonic() + self._deadline_s
        self._budget.earn()
        may_repeat = request.method == "GET" or settle is not None
        failure_count, is_doubted = 0, False
        while True:
            # What may be repeated leaves time for it, perhaps at another server.
            share = 0.5 if may_repeat else 1.0
            ended = await self._attempt(request, (ends_at - clock.monotonic()) * share)
            if isinstance(ended, bytes):
                return ended
            if is_doubted and settle is not None and _is_verdict(ended):
                return await settle(ended)
            failure_count += 1
            pause_s = self._pause_s(ended, failure_count)
            if not _is_repeatable(ended, may_repeat) or (
                clock.monotonic() + pause_s >= ends_at or not self._budget.spend()
            ):
                raise _in_the_end(ended, is_doubted=is_doubted)
            is_doubted = is_doubted or isinstance(ended, UnknownOutcome)
            await clock.sleep(pause_s)

    async def _attempt(
        self, request: Request, deadline_s: float
    ) -> bytes | ApiError | TransportError:
        """Return the body, or what went wrong as a value: the caller decides what it means."""
        try:
            response = await self.transport.send(request, deadline_s=max(deadline_s, ATTEMPT_S_MIN))
        except TransportError as trouble:
            self._attempts(request.method, type(trouble).__name__.lower()).inc()
            return trouble
        self._attempts(request.method, response.status).inc()
        if response.status < 300:
            return _whole(response)
        refusal = refusal_of(response.status, _whole(response), response.headers)
        is_write = request.method != "GET"
        if is_write and isinstance(refusal, InternalError | Timeout):
            return UnknownOutcome(refusal.message)
        return refusal

    def _pause_s(self, ended: Exception, failure_count: int) -> float:
        pause_s = backoff_s(failure_count, base_s=RETRY_BASE_S, limit_s=RETRY_MAX_S)
        pause_s = jittered_s(pause_s, self._env.rng.fraction())
        return max(pause_s, getattr(ended, "retry_after_s", 0))


def _is_verdict(ended: Exception) -> TypeGuard[ApiError]:
    """Tell whether the server looked at the request: 429 and 503 say nothing of an earlier one."""
    return isinstance(ended, ApiError) and not isinstance(
        ended, TooManyRequests | ServiceUnavailable
    )


def _in_the_end(ended: Exception, *, is_doubted: bool) -> Exception:
    """Return what to raise: that the last attempt did nothing does not undo a doubtful first."""
    if is_doubted and not isinstance(ended, UnknownOutcome) and not _is_verdict(ended):
        return UnknownOutcome(str(ended))
    return ended


def _is_repeatable(ended: Exception, may_repeat: bool) -> bool:
    if isinstance(ended, UnknownOutcome):
        return may_repeat
    if isinstance(ended, TooManyRequests) and any(
        one.reason == DISRUPTION_BUDGET for one in ended.problems
    ):
        # It waits for other pods to be ready, not for a while to pass.
        return False
    return isinstance(ended, Unreachable | TooManyRequests | ServiceUnavailable)


def _whole(response: Response) -> bytes:
    if not isinstance(response.body, bytes):
        raise TypeError("a transport's send() must return a whole body")
    return response.body
