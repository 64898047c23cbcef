"""What becomes of calls that must survive: verdicts, ids, topics' names, and what is remembered."""

import asyncio

import pytest
from msgspec.structs import replace

from cubernetes.api.serverless.function import RetrySpec
from serverless.bus.bus import PartitionRef, Record
from serverless.durable import records
from serverless.durable.cancelling import Cancelling, Withdrawn
from serverless.durable.outcomes import Outcomes
from serverless.durable.records import RESULT_BYTES_MAX, Call, Result, calls_topic, id_for, is_ours
from serverless.durable.turns import Turns
from serverless.durable.verdicts import Final, RetryLater, delay_after, status_of, verdict_on
from serverless.envelope import Misread, ResultHead

UID = "6f1c0c2e-6f0e-4b55-9a3e-0d6a1a0f2b11"
POLICY = RetrySpec(attempts=3)


def a_call(attempt: int = 1) -> Call:
    return Call(id="c", namespace="default", name="f", uid=UID, attempt=attempt)


def ok(status: int = 200) -> ResultHead:
    return ResultHead(outcome="ok", status=status)


@pytest.mark.parametrize("status", [200, 204, 302, 400, 404, 422])
def test_an_answer_is_a_result_whatever_it_refuses(status: int) -> None:
    assert verdict_on(a_call(), ok(status), b"x", POLICY) == Final(ok(status), b"x")


@pytest.mark.parametrize(
    "result",
    [ok(500), ok(503), ok(429), *(ResultHead(outcome=one) for one in ("error", "timeout", "lost"))],
)
def test_a_failure_is_tried_again_until_the_last_attempt_which_is_a_dead_letter(
    result: ResultHead,
) -> None:
    first, last = (verdict_on(a_call(attempt), result, b"", POLICY) for attempt in (1, 3))
    assert isinstance(first, RetryLater)
    assert last == Final(result, b"", is_dead=True)


def test_an_answer_that_is_too_large_is_said_so_and_not_computed_again() -> None:
    body = b"x" * (RESULT_BYTES_MAX + 1)
    verdict = verdict_on(a_call(), ok(), body, POLICY)
    assert isinstance(verdict, Final)
    assert verdict.is_dead
    assert "ResultTooLarge" in verdict.result.error
    assert verdict_on(a_call(), ok(), body[1:], POLICY) == Final(ok(), body[1:])


def test_a_call_rests_longer_each_time_within_the_policy() -> None:
    policy = RetrySpec(attempts=9, most_seconds=60)
    assert [delay_after(one, policy) for one in range(1, 7)] == [1, 10, 60, 60, 60, 60]
    assert delay_after(5, RetrySpec(most_seconds=1)) == 1
    assert [delay_after(one, RetrySpec()) for one in (1, 4, 5)] == [1, 300, 300]


def test_an_end_is_told_by_a_status_of_http() -> None:
    told = {"error": 500, "timeout": 504, "lost": 502}
    assert {one: status_of(ResultHead(outcome=one), "failed") for one in told} == told
    assert status_of(ok(201), "ok") == 201
    assert status_of(ok(201), "gone") == 410


def test_no_attempt_is_due_after_the_deadline_of_its_call() -> None:
    failed, call = ResultHead(outcome="error"), replace(a_call(), deadline_ms=5000)

    in_time = verdict_on(call, failed, b"", POLICY, now_ms=3999)
    late = verdict_on(call, failed, b"", POLICY, now_ms=4000)

    assert isinstance(in_time, RetryLater)
    assert late == Final(failed, b"", is_dead=True)


async def test_what_is_done_for_a_call_ends_when_it_is_cancelled_and_nothing_of_another() -> None:
    cancelling = Cancelling()
    begun = asyncio.Event()

    async def works(call: str) -> str:
        try:
            async with cancelling.interruptible(replace(a_call(), id=call)):
                begun.set()
                await asyncio.get_running_loop().create_future()
        except Withdrawn as withdrawn:
            return f"withdrawn {withdrawn.call.id}"
        return "done"

    works_on = asyncio.create_task(works("other"))
    work = asyncio.create_task(works("c"))
    await begun.wait()
    await asyncio.sleep(0)
    cancelling.mark("c")
    cancelling.mark("c")

    assert await work == "withdrawn c"
    assert await works("c") == "withdrawn c"
    assert not works_on.done()
    works_on.cancel()
    with pytest.raises(asyncio.CancelledError):
        await works_on


async def test_a_call_that_is_forgotten_may_be_worked_on_and_a_late_timeout_is_its_own() -> None:
    cancelling = Cancelling()
    cancelling.mark("c")
    cancelling.forget("c")

    with pytest.raises(TimeoutError):
        async with cancelling.interruptible(a_call()):
            raise TimeoutError


def test_ids_follow_from_their_cause_and_from_nothing_else() -> None:
    assert id_for(UID, "key", "a") == id_for(UID, "key", "a")
    others = {id_for(UID, "key", "b"), id_for(UID, "cron", "a"), id_for(UID, "keya")}
    assert len(others | {id_for(UID, "key", "a")}) == 4
    assert id_for(UID[:-1] + "2", "key", "a") != id_for(UID, "key", "a")


def test_two_functions_never_share_a_topic_and_only_ours_are_ours() -> None:
    """W45: reset removed all topics."""
    topic = calls_topic("ns", "f", UID)
    assert topic.name == "cube.calls.ns.f.6f1c0c2e"
    assert topic.retention_s == topic.partition_bytes_max == 0
    assert all(is_ours(name) for name in (topic.name, "cube.results", "cube.retry.60", "cube.dead"))
    assert not any(is_ours(name) for name in ("cube", "cubes.x", "orders", "__consumer_offsets"))


def test_a_record_is_read_as_it_was_written_and_another_is_refused() -> None:
    place = PartitionRef("t", 0)
    told = records.value_of(a_call(), b"\x00body")
    assert records.read(Record(place, 0, b"", told), Call) == (a_call(), b"\x00body")
    for value in (b"", b"{}", told[:-1], records.value_of({"id": 1}), records.value_of({})):
        with pytest.raises(Misread):
            records.read(Record(place, 0, b"", value), Call)


def a_result(call: str, outcome: str = "ok") -> Result:
    return Result(call=call, namespace="default", name="f", outcome=outcome, status=200)


def test_the_first_end_of_a_call_counts() -> None:
    known = Outcomes()
    known.end(a_result("c"), b"first")
    known.end(a_result("c", "failed"), b"second")
    found = known.ended("c")
    assert found is not None
    assert found.head is not None
    assert (found.head.outcome, found.body) == ("ok", b"first")


def test_results_are_forgotten_for_want_of_room_and_their_ids_later() -> None:
    known = Outcomes(ids_max=3, bytes_max=2 * 600)
    for number in range(4):
        known.end(a_result(f"c{number}"), b"x" * 100)
    assert not known.is_ended("c0")
    assert [known.ended(f"c{one}").head is None for one in (1, 2, 3)] == [True, False, False]  # type: ignore[union-attr]


def test_a_call_is_known_from_its_acceptance_to_its_end() -> None:
    known = Outcomes()
    assert known.accept("c")
    assert not known.accept("c")
    assert (known.state_of("c"), known.open_count) == ("accepted", 1)
    known.begin("c", "waiting")
    known.tell("c", "running")
    assert (known.state_of("c"), known.open_count) == ("running", 1)
    known.begin("c", "waiting")
    known.leave("c")
    assert known.state_of("c") == "waiting"
    known.leave("c")
    assert (known.state_of("c"), known.open_count) == ("", 0)


async def test_a_function_has_so_many_turns_and_no_more() -> None:
    import asyncio

    turns, running, most = Turns(), 0, 0
    from serverless.board.key import FunctionKey

    async def one() -> None:
        nonlocal running, most
        async with turns.turn(FunctionKey("default", "f"), 3):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    tasks = [asyncio.create_task(one()) for _ in range(20)]
    await asyncio.sleep(0)
    tasks[5].cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)

    assert most == 3
    assert [isinstance(each, asyncio.CancelledError) for each in ended].count(True) == 1
