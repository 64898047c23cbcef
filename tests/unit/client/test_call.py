"""What is repeated, what is not, and how a doubtful write is settled."""

from collections.abc import Awaitable, Callable

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    InternalError,
    Invalid,
    NotFound,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
)
from cubernetes.api.meta import replaced
from cubernetes.client.outcome import TransportError, UnknownOutcome, Unreachable
from cubernetes.client.rest import Client, FencingToken
from cubernetes.host.web.messages import Response
from tests.given import NOW, a_pod
from tests.scripted import Answer, ScriptedTransport, listed, ok, refused
from tests.simulation.clock import sim_env
from tests.simulation.loop import run_simulated

POD = a_pod("web-0", revision=7, uid="u1")
BUSY = refused(ServiceUnavailable("no leader", retry_after_s=2))


def outcome_of[T](
    act: Callable[[Client], Awaitable[T]], *answers: Answer
) -> tuple[T | Exception, int, float]:
    """Return what came out, how many requests it took, and how long."""

    async def main() -> tuple[T | Exception, int, float]:
        env = sim_env("client")
        transport = ScriptedTransport(*answers)
        began_s = env.clock.monotonic()
        result: T | Exception
        try:
            result = await act(Client(transport, env, deadline_s=10.0))
        except Exception as error:  # noqa: BLE001  the outcome is what is tested
            result = error
        return result, len(transport.requests), env.clock.monotonic() - began_s

    return run_simulated(main())


def read(client: Client) -> Awaitable[Pod]:
    return client.get(Pod, "web-0", "default")


def create(client: Client) -> Awaitable[Pod]:
    return client.create(replaced(POD, metadata=replaced(POD.metadata, resource_version="")))


def update(client: Client) -> Awaitable[Pod]:
    return client.update(POD)


def delete(client: Client) -> Awaitable[str]:
    return client.delete(Pod, "web-0", "default", uid="u1")


def bind(client: Client) -> Awaitable[None]:
    return client.bind("web-0", "default", "u1", "n1")


NAMELESS = replaced(POD, metadata=replaced(POD.metadata, name=""))


@pytest.mark.parametrize(
    "act",
    [
        lambda client: client.get(Pod, "", "default"),
        lambda client: client.update(NAMELESS),
        lambda client: client.update_status(NAMELESS),
        lambda client: client.patch(Pod, "", "default", {}),
        lambda client: client.delete(Pod, "", "default"),
        lambda client: client.bind("", "default", "u1", "n1"),
        lambda client: client.scale(ReplicaSet, "", "default", 0),
        lambda client: anext(client.log("", "default")),
    ],
)
def test_without_a_name_no_verb_sends_anything(act: Callable[[Client], Awaitable[object]]) -> None:
    """It would be about every object of the kind."""
    result, count, _ = outcome_of(act, ok(POD))

    assert isinstance(result, BadRequest)
    assert result.message == "resource name may not be empty"
    assert count == 0


@pytest.mark.parametrize("act", [read, create, update, delete, bind])
@pytest.mark.parametrize("trouble", [Unreachable("cut"), BUSY])
def test_what_did_not_happen_is_tried_again_whatever_it_is(
    act: Callable[[Client], Awaitable[object]], trouble: Answer
) -> None:
    result, count, _ = outcome_of(act, trouble, ok(POD))

    assert not isinstance(result, Exception)
    assert count == 2


def test_the_server_says_how_long_to_wait() -> None:
    _, _, took_s = outcome_of(read, refused(TooManyRequests("slow down", retry_after_s=3)), ok(POD))

    assert took_s == pytest.approx(3.0)


def test_a_proxy_may_say_it_in_a_header() -> None:
    busy = Response(503, b"<html>busy</html>", {"retry-after": "4"}, "text/html")

    result, _, took_s = outcome_of(read, busy, ok(POD))

    assert result == POD
    assert took_s == pytest.approx(4.0)


def test_a_read_is_repeated_whatever_became_of_it() -> None:
    result, count, _ = outcome_of(read, UnknownOutcome("reset"), ok(POD))

    assert (result, count) == (POD, 2)


@pytest.mark.parametrize(
    "doubt", [UnknownOutcome("reset"), refused(InternalError("bug")), refused(Timeout("late"))]
)
def test_a_create_that_may_have_happened_is_never_repeated(doubt: Answer) -> None:
    result, count, _ = outcome_of(create, doubt)

    assert isinstance(result, UnknownOutcome)
    assert count == 1


def test_an_update_that_turns_out_to_have_happened_is_a_success() -> None:
    written = replaced(POD, metadata=replaced(POD.metadata, resource_version="8"))

    result, count, _ = outcome_of(
        update, UnknownOutcome("reset"), refused(Conflict("8")), ok(written)
    )

    assert (result, count) == (written, 3)


def test_an_update_that_someone_else_preceded_is_a_conflict() -> None:
    other = a_pod("web-0", revision=8, uid="u1", labels={"app": "other"})

    result, _, _ = outcome_of(update, UnknownOutcome("reset"), refused(Conflict("8")), ok(other))

    assert isinstance(result, Conflict)


def test_the_status_of_a_namesake_is_not_what_was_written() -> None:
    namesake = a_pod("web-0", revision=9, uid="u2")

    result, _, _ = outcome_of(
        lambda client: client.update_status(POD),
        UnknownOutcome("reset"),
        refused(Conflict("9")),
        ok(namesake),
    )

    assert isinstance(result, Conflict)


def test_an_update_without_a_precondition_is_not_repeated() -> None:
    blind = replaced(POD, metadata=replaced(POD.metadata, resource_version=""))

    result, count, _ = outcome_of(lambda client: client.update(blind), UnknownOutcome("reset"))

    assert isinstance(result, UnknownOutcome)
    assert count == 1


def test_a_deletion_by_uid_that_finds_nothing_the_second_time_has_worked() -> None:
    result, _, _ = outcome_of(delete, UnknownOutcome("reset"), refused(NotFound("gone")))

    assert result == ""


def delete_as_seen(client: Client) -> Awaitable[str]:
    return client.delete(Pod, "web-0", "default", uid="u1", resource_version="7")


WRITTEN_SINCE = a_pod("web-0", revision=8, uid="u1")
GOING = a_pod("web-0", revision=8, uid="u1", deleted_at=NOW)
STALE = refused(Conflict("the ResourceVersion in the precondition (7) is not the object's (8)"))


@pytest.mark.parametrize("act", [delete_as_seen, delete])
def test_a_deletion_that_is_refused_is_not_done(act: Callable[[Client], Awaitable[object]]) -> None:
    result, count, _ = outcome_of(act, STALE)

    assert isinstance(result, Conflict)
    assert count == 1


def test_a_refused_deletion_is_not_done_because_the_attempt_before_it_was_doubtful() -> None:
    """The object stands, and nobody has asked for its end: somebody wrote to it since."""
    result, count, _ = outcome_of(delete_as_seen, UnknownOutcome("reset"), STALE, ok(WRITTEN_SINCE))

    assert isinstance(result, Conflict)
    assert count == 3


@pytest.mark.parametrize(
    "found", [ok(GOING), ok(a_pod("web-0", uid="u2")), refused(NotFound("gone"))]
)
def test_a_doubtful_deletion_is_done_where_the_object_is_going_or_gone(found: Answer) -> None:
    result, _, _ = outcome_of(delete_as_seen, UnknownOutcome("reset"), STALE, found)

    assert result == ""


@pytest.mark.parametrize("act", [read, create, update, delete, lambda one: one.list(Pod)])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"metadata":3}', b"[" * 100_000])
def test_a_success_that_cannot_be_read_is_no_verdict(
    act: Callable[[Client], Awaitable[object]], body: bytes
) -> None:
    result, _, _ = outcome_of(act, ok(body))

    assert isinstance(result, UnknownOutcome)


def test_a_deletion_that_finds_nothing_the_first_time_says_so() -> None:
    result, _, _ = outcome_of(delete, refused(NotFound("gone")))

    assert isinstance(result, NotFound)


def test_a_binding_that_turns_out_to_stand_is_a_success() -> None:
    bound = a_pod("web-0", uid="u1", node="n1", revision=8)

    result, _, _ = outcome_of(bind, UnknownOutcome("reset"), refused(Conflict("bound")), ok(bound))

    assert not isinstance(result, Exception)


def test_a_binding_to_another_node_is_a_conflict() -> None:
    bound = a_pod("web-0", uid="u1", node="n2", revision=8)

    result, _, _ = outcome_of(bind, UnknownOutcome("reset"), refused(Conflict("bound")), ok(bound))

    assert isinstance(result, Conflict)


@pytest.mark.parametrize("error", [Invalid("no"), AlreadyExists("there"), Conflict("first")])
def test_a_refusal_is_an_answer(error: Exception) -> None:
    assert isinstance(error, Invalid | AlreadyExists | Conflict)
    result, count, _ = outcome_of(create, refused(error))

    assert type(result) is type(error)
    assert count == 1


def test_no_call_outlives_its_deadline() -> None:
    result, _, took_s = outcome_of(read, Unreachable("cut"))

    assert isinstance(result, Unreachable)
    assert took_s < 10.0


def test_retries_are_paid_from_a_budget() -> None:
    async def main() -> int:
        transport = ScriptedTransport(Unreachable("cut"))
        client = Client(transport, sim_env("budget"))
        for _ in range(100):
            with pytest.raises(TransportError):
                await read(client)
        return len(transport.requests)

    # A hundred calls, ten retries at once and one for each ten calls.
    assert run_simulated(main()) <= 121


def test_a_leader_writes_behind_its_fence_and_reads_without() -> None:
    async def main() -> list[str]:
        transport = ScriptedTransport(ok(POD))
        client = Client(transport, sim_env("fence")).fenced(
            FencingToken("kube-system", "controllers", 3, "u1")
        )
        await read(client)
        await update(client)
        return [one.headers.get("cubernetes-fence", "") for one in transport.requests]

    assert run_simulated(main()) == ["", "kube-system/controllers:3:u1"]


def test_a_list_names_its_revision_and_its_selection() -> None:
    async def main() -> tuple[str, object]:
        transport = ScriptedTransport(listed([POD], 9))
        client = Client(transport, sim_env("list"))
        found = await client.list(Pod, "default", labels="app=web", revision="5")
        assert found.items == (POD,)
        assert found.metadata.resource_version == "9"
        return transport.requests[0].path, dict(transport.requests[0].query)

    path, query = run_simulated(main())

    assert path == "/api/v1/namespaces/default/pods"
    assert query == {
        "labelSelector": "app=web",
        "resourceVersion": "5",
        "resourceVersionMatch": "NotOlderThan",
    }


def test_a_name_cannot_lead_to_another_path() -> None:
    result, count, _ = outcome_of(lambda client: client.get(Pod, "../nodes/n1", "default"), ok(POD))

    assert isinstance(result, BadRequest)
    assert count == 0


def test_objects_survive_the_way_there_and_back() -> None:
    assert codec.decode(Pod, codec.encode(POD)) == POD


def test_that_the_last_attempt_did_nothing_does_not_undo_a_doubtful_first() -> None:
    """A binding that may have happened must not be called impossible, or it is made elsewhere."""
    lost = UnknownOutcome("the answer is lost")
    for last in (Unreachable("refused"), BUSY):
        result, _, _ = outcome_of(update, lost, last)
        assert isinstance(result, UnknownOutcome)


def test_a_busy_server_settles_nothing_it_is_asked_again() -> None:
    result, request_count, _ = outcome_of(update, UnknownOutcome("lost"), BUSY, ok(POD))

    assert result == POD
    assert request_count == 3
