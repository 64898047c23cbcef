"""What becomes of a call after an attempt: its result, another attempt, or a dead letter. Pure."""

from dataclasses import dataclass

from cubernetes.api.serverless.function import RetrySpec
from serverless.durable.records import CANCELLED, RESULT_BYTES_MAX, RETRY_DELAYS_S, Call
from serverless.envelope import ResultHead

# A function that answers so asks to be called again.
LATER = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Final:
    """The call has ended. is_dead: without success, so that there is a dead letter too."""

    result: ResultHead
    body: bytes = b""
    is_dead: bool = False


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Another attempt is due after a delay, which is that of a topic."""

    delay_s: int
    error: str


@dataclass(frozen=True, slots=True)
class HandOn:
    """Another function is to answer: the call goes on as this one, with this body."""

    call: Call
    body: bytes


type Verdict = Final | RetryLater | HandOn


def delay_after(attempt: int, policy: RetrySpec) -> int:
    """Return how long a call rests after an attempt: longer each time, within the policy."""
    allowed = [one for one in RETRY_DELAYS_S if one <= policy.most_seconds]
    return allowed[min(attempt, len(allowed)) - 1]


def verdict_on(
    call: Call, result: ResultHead, body: bytes, policy: RetrySpec, now_ms: int = 0
) -> Verdict:
    """Return what becomes of a call whose attempt has ended so: none begins after its deadline."""
    if result.outcome == "ok" and len(body) > RESULT_BYTES_MAX:
        told = f"ResultTooLarge: the answer has {len(body)} bytes, at most {RESULT_BYTES_MAX}"
        return Final(ResultHead(outcome="error", error=told), is_dead=True)
    if result.outcome == "ok" and result.status < 500 and result.status not in LATER:
        return Final(result, body)
    error = error_of(result)
    delay_s = delay_after(call.attempt, policy)
    is_in_time = not call.deadline_ms or now_ms + delay_s * 1000 < call.deadline_ms
    if call.attempt < policy.attempts and is_in_time:
        return RetryLater(delay_s, error)
    return Final(result, body, is_dead=True)


def error_of(result: ResultHead) -> str:
    """Return in a sentence how an attempt failed."""
    return f"the function answered {result.status}" if result.outcome == "ok" else result.error


def status_of(result: ResultHead, outcome: str) -> int:
    """Return the status of HTTP by which a call's end is told."""
    if outcome in ("gone", CANCELLED):
        return 410
    match result.outcome:
        case "ok":
            return result.status
        case "timeout":
            return 504
        case "lost":
            return 502
        case _:
            return 500
