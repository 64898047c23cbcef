"""What is carried out is harmless when it is repeated, and nothing is written in vain."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import AlreadyExists, Conflict, NotFound
from cubernetes.api.meta import Object, replaced
from cubernetes.client.informer import Informer
from cubernetes.client.outcome import UnknownOutcome
from cubernetes.client.rest import Client
from cubernetes.reconcile.barrier import Barrier
from cubernetes.reconcile.execute import Executor, NameTaken, changes_nothing
from cubernetes.reconcile.plan import (
    Action,
    Bind,
    Create,
    Delete,
    Patch,
    Record,
    Update,
    UpdateStatus,
)
from tests.given import a_pod, a_replicaset
from tests.scripted import Answer, ScriptedTransport, ok, refused
from tests.simulation.clock import sim_env
from tests.simulation.loop import run_simulated

WEB = a_replicaset("web")
SEEN = a_pod("web-0", uid="u0", revision=5, owner=WEB)
WANTED = replaced(SEEN, metadata=replaced(SEEN.metadata, uid="", resource_version=""))


class Heard(list[Record]):
    """Records, as they come."""

    def record(self, record: Record) -> None:
        self.append(record)


class Bench:
    """An executor whose view shows one pod, and whose API answers by script."""

    def __init__(self, *answers: Answer) -> None:
        env = sim_env("bench")
        self.transport = ScriptedTransport(*answers)
        client = Client(self.transport, env)
        self.pods = Informer(client, Pod, env)
        self.pods.cache.replace([SEEN], 5)
        self.barrier = Barrier(client, {Pod: self.pods})
        self.records = Heard()
        self.executor = Executor(client, self.barrier, self.records)

    @property
    def asked(self) -> list[str]:
        return [f"{one.method} {one.path.rpartition('/')[2]}" for one in self.transport.requests]

    async def is_clear(self) -> bool:
        return await self.barrier.clear(1.0)


def carried_out(action: Action, *answers: Answer) -> tuple[Bench, Exception | None, bool]:
    """Return the bench, what was raised, and whether the view is new enough to plan again."""

    async def main() -> tuple[Bench, Exception | None, bool]:
        bench = Bench(*answers)
        raised: Exception | None = None
        try:
            await bench.executor.carry_out(action)
        except Exception as error:  # noqa: BLE001  the outcome is what is tested
            raised = error
        return bench, raised, await bench.is_clear()

    return run_simulated(main())


def test_a_created_object_is_waited_for() -> None:
    made = a_pod("web-1", revision=9, owner=WEB)

    _, raised, is_clear = carried_out(Create(WANTED), ok(made))

    assert raised is None
    assert not is_clear


def test_a_child_that_exists_already_is_fine() -> None:
    _, raised, is_clear = carried_out(Create(WANTED), refused(AlreadyExists("there")), ok(SEEN))

    assert raised is None
    assert is_clear


@pytest.mark.parametrize(
    "found",
    [
        a_pod("web-0", revision=5, owner=a_replicaset("other")),
        a_pod("web-0", revision=5),
        a_pod("web-0", revision=5, owner=WEB, deleted_at=SEEN.metadata.creation_timestamp),
    ],
)
def test_a_name_that_another_holds_is_told(found: Pod) -> None:
    _, raised, _ = carried_out(Create(WANTED), refused(AlreadyExists("there")), ok(found))

    assert isinstance(raised, NameTaken)


@pytest.mark.parametrize(
    "action",
    [
        Update(SEEN),
        UpdateStatus(SEEN),
        Patch(Pod, SEEN.ref, "u0", {"metadata": {"labels": {"app": "web"}}}),
    ],
)
def test_a_write_that_would_change_nothing_is_not_made(action: Action) -> None:
    bench, raised, is_clear = carried_out(action, ok(SEEN))

    assert raised is None
    assert bench.asked == []
    assert is_clear


def test_a_patch_is_for_one_incarnation_only() -> None:
    changed = a_pod("web-0", uid="u0", revision=6)
    patch = Patch(Pod, SEEN.ref, "u0", {"metadata": {"labels": {"app": "new"}}})

    bench, raised, is_clear = carried_out(patch, ok(changed))

    assert raised is None
    assert b'"uid":"u0"' in bench.transport.requests[0].body
    assert not is_clear


def test_a_deletion_is_done_when_the_view_shows_it() -> None:
    async def main() -> tuple[bool, bool]:
        going = a_pod("web-0", uid="u0", revision=8)
        bench = Bench(ok(going))
        await bench.executor.carry_out(Delete(Pod, SEEN.ref, "u0"))
        before = await bench.is_clear()
        bench.pods.cache.put(going)
        return before, await bench.is_clear()

    assert run_simulated(main()) == (False, True)


def test_a_deletion_of_what_is_gone_waits_for_the_view_too() -> None:
    async def main() -> tuple[bool, bool]:
        bench = Bench(refused(NotFound("gone")))
        await bench.executor.carry_out(Delete(Pod, SEEN.ref, "u0"))
        before = await bench.is_clear()
        bench.pods.cache.remove(("default", "web-0"))
        return before, await bench.is_clear()

    assert run_simulated(main()) == (False, True)


def test_a_deletion_spares_a_namesake() -> None:
    bench, raised, _ = carried_out(
        Delete(Pod, SEEN.ref, "u0"), refused(Conflict("another uid")), ok(SEEN)
    )

    assert raised is None
    assert b'"uid":"u0"' in bench.transport.requests[0].body


def test_a_deletion_of_a_state_that_is_no_more_is_refused_and_planned_again() -> None:
    """Somebody has written since, perhaps a new owner: refused is not done."""
    delete = Delete(Pod, SEEN.ref, "u0", resource_version="7")
    bench, raised, _ = carried_out(delete, refused(Conflict("written since")), ok(SEEN))

    assert isinstance(raised, Conflict)
    assert b'"resourceVersion":"7"' in bench.transport.requests[0].body
    # What there is now is looked at before anything is planned again.
    assert [one.method for one in bench.transport.requests] == ["DELETE", "GET"]


def test_a_deletion_says_what_becomes_of_dependents() -> None:
    bench, raised, _ = carried_out(Delete(Pod, SEEN.ref, "u0", propagation="Foreground"), ok(SEEN))

    assert raised is None
    assert b'"propagationPolicy":"Foreground"' in bench.transport.requests[0].body


def test_a_binding_is_done_when_the_view_shows_another_state() -> None:
    async def main() -> tuple[bool, bool]:
        bench = Bench(ok())
        await bench.executor.carry_out(Bind(SEEN.ref, "u0", "n1"))
        before = await bench.is_clear()
        bench.pods.cache.put(a_pod("web-0", uid="u0", revision=8, node="n1"))
        return before, await bench.is_clear()

    assert run_simulated(main()) == (False, True)


def test_what_may_have_happened_is_asked_for_before_the_next_plan() -> None:
    made = a_pod("web-1", revision=9, owner=WEB)

    bench, raised, is_clear = carried_out(Create(WANTED), UnknownOutcome("lost"), ok(made))

    assert isinstance(raised, UnknownOutcome)
    assert bench.asked == ["POST pods", "GET web-0"]
    assert not is_clear


def test_what_has_not_happened_is_not_waited_for() -> None:
    other = replaced(WANTED, metadata=replaced(WANTED.metadata, name="web-7"))

    _, _, is_clear = carried_out(Create(other), UnknownOutcome("lost"), refused(NotFound("no")))

    assert is_clear


def test_with_nobody_to_ask_the_planner_holds() -> None:
    _, _, is_clear = carried_out(Create(WANTED), UnknownOutcome("lost"))

    assert not is_clear


def test_a_record_goes_to_the_records() -> None:
    record = Record(SEEN, "Started", "it runs")

    bench, _, _ = carried_out(record, ok())

    assert bench.records == [record]
    assert bench.asked == []


leaves = st.one_of(st.none(), st.integers(0, 2), st.sampled_from(["a", "b"]))
trees = st.recursive(
    leaves, lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3), max_leaves=8
)
maps = st.dictionaries(st.sampled_from("xyz"), trees, max_size=3)


def merged(tree: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7386, in its own words."""
    result = dict(tree)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            old = result.get(key)
            result[key] = merged(old if isinstance(old, Mapping) else {}, value)
        else:
            result[key] = value
    return result


@given(tree=maps, change=maps)
def test_a_change_is_nothing_exactly_where_merging_it_changes_nothing(
    tree: dict[str, Any], change: dict[str, Any]
) -> None:
    # An object's JSON has no nulls: absent and null are the same there.
    clean = merged({}, tree)

    assert changes_nothing(clean, change) == (merged(clean, change) == clean)


@pytest.mark.parametrize("answer", [ok(a_replicaset("web", revision=4)), UnknownOutcome("lost")])
def test_kinds_that_nobody_watches_are_written_and_not_waited_for(answer: Answer) -> None:
    one: Object = a_replicaset("web", revision=3)

    _, _, is_clear = carried_out(Update(one), answer)

    assert is_clear
