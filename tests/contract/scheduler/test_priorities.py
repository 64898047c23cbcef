"""Priorities from the class to the node: what the server writes, and what the scheduler does."""

from collections import Counter

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.errors import ApiError, Forbidden, Invalid
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.scheduling.priorityclass import PreemptionPolicy, PriorityClass
from tests.contract.scheduler.test_scheduler import Place, a_place, all_bound, is_refused
from tests.given import a_container


async def add_class(
    place: Place,
    name: str,
    value: int,
    *,
    is_default: bool = False,
    policy: PreemptionPolicy = "PreemptLowerPriority",
) -> None:
    meta = ObjectMeta(name=name)
    await place.admin.create(
        PriorityClass(
            metadata=meta, value=value, global_default=is_default, preemption_policy=policy
        )
    )


def a_spec(cpu: str = "", priority_class: str = "", **fields: object) -> PodSpec:
    spec = PodSpec(containers=(a_container(cpu=cpu),), priority_class_name=priority_class)
    return replaced(spec, termination_grace_period_seconds=0, **fields)


async def get(place: Place, name: str) -> Pod:
    return await place.admin.get(Pod, name, "default")


async def test_a_pod_is_given_what_its_class_says() -> None:
    async with a_place() as place:
        await add_class(place, "high", 1000, policy="Never")
        await place.add_pod("high", a_spec("", "high"))
        await place.add_pod("vital", a_spec("", "system-node-critical"))
        await place.add_pod("plain", a_spec())

        high, vital, plain = [await get(place, name) for name in ("high", "vital", "plain")]
        assert (high.spec.priority, high.spec.preemption_policy) == (1000, "Never")
        assert (vital.spec.priority, vital.spec.preemption_policy) == (
            2_000_001_000,
            "PreemptLowerPriority",
        )
        assert plain.spec.priority is None
        with pytest.raises(Forbidden, match="no PriorityClass with name none was found"):
            await place.add_pod("lost", a_spec("", "none"))
        with pytest.raises(Forbidden, match=r"must not be provided in pod spec; .* computed 1000"):
            await place.add_pod("own", a_spec("", "high", priority=7))
        with pytest.raises(Forbidden, match="must not be provided in pod spec"):
            await place.add_pod("own", a_spec("", "", priority=7))


async def test_a_pod_that_names_no_class_has_the_default() -> None:
    async with a_place() as place:
        await add_class(place, "usual", 50, is_default=True)
        await add_class(place, "other", 60, is_default=True)
        # The server lists what its memory holds, once that is as new as the store.
        assert len((await place.admin.list(PriorityClass)).items) == 4
        await place.add_pod("plain", a_spec())
        plain = await get(place, "plain")
        assert (plain.spec.priority_class_name, plain.spec.priority) == ("usual", 50)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("system-mine", 1, "reserved for system use only"),
        ("big", 1_000_000_001, "maximum allowed value of a user defined priority is 1000000000"),
    ],
)
async def test_a_class_keeps_to_the_names_and_values_of_users(
    name: str, value: int, told: str
) -> None:
    async with a_place() as place:
        with pytest.raises(Invalid, match=told):
            await add_class(place, name, value)


async def test_the_value_of_a_class_is_for_good() -> None:
    async with a_place() as place:
        await add_class(place, "high", 1000)
        old = await place.admin.get(PriorityClass, "high")
        with pytest.raises(ApiError, match="may not be changed in an update"):
            await place.admin.update(replaced(old, value=1001))
        with pytest.raises(ApiError, match="preemptionPolicy"):
            await place.admin.update(replaced(old, preemption_policy="Never"))
        await place.admin.update(replaced(old, description="for all"))


async def test_a_pod_that_matters_more_gets_the_room_of_one_that_matters_less() -> None:
    async with a_place() as place:
        await place.add_node("n1", cpu="2")
        await place.add_node("n2", cpu="2")
        await add_class(place, "low", 10)
        await add_class(place, "high", 1000)
        await place.add_pod("low-a", a_spec("2", "low"))
        await place.add_pod("plain", a_spec("2"))
        await place.until(all_bound)
        loser = await get(place, "plain")

        await place.add_pod("high", a_spec("2", "high"))

        def is_done(pods: list[Pod]) -> bool:
            return {one.metadata.name for one in pods} == {"low-a", "high"} and all_bound(pods)

        await place.until(is_done)
        winner = await get(place, "high")
        assert winner.spec.node_name == loser.spec.node_name
        assert winner.status.nominated_node_name == loser.spec.node_name

        told = f"Preempted by default/high on node {loser.spec.node_name}"
        await place.until_told("Preempted", told)


async def test_a_patient_pod_takes_nobodys_place() -> None:
    async with a_place() as place:
        await place.add_node("n1", cpu="2")
        await add_class(place, "patient", 1000, policy="Never")
        await place.add_pod("plain", a_spec("2"))
        await place.until(all_bound)
        await place.add_pod("patient", a_spec("2", "patient"))

        await place.until(lambda pods: any(map(is_refused, pods)))

        assert (await get(place, "patient")).status.nominated_node_name == ""
        await place.admin.delete(Pod, "plain", "default", grace_s=0)
        await place.until(all_bound)


async def test_two_preemptors_take_one_place_each_and_then_rest() -> None:
    """Of three that want two places one waits; it takes none of its equals, however often asked."""
    async with a_place() as place:
        for name in ("n1", "n2"):
            await place.add_node(name, cpu="2")
        await add_class(place, "high", 1000)
        for number in range(4):
            await place.add_pod(f"low-{number}", a_spec("1"))
        await place.until(all_bound)
        for number in range(3):
            await place.add_pod(f"high-{number}", a_spec("2", "high"))

        def is_settled(pods: list[Pod]) -> bool:
            bound = [one for one in pods if one.spec.node_name]
            return len(pods) == 3 and len(bound) == 2 and sum(map(is_refused, pods)) == 1

        pods = await place.until(is_settled)
        nodes = Counter(one.spec.node_name for one in pods if one.spec.node_name)
        assert nodes == {"n1": 1, "n2": 1}
        writes = len(place.transport.writes)
        await place.add_node("n3", cpu="1")
        await place.add_pod("small", a_spec("1"))
        await place.until(lambda found: sum(bool(one.spec.node_name) for one in found) == 3)
        deletes = [one for one in place.transport.writes[writes:] if one.method == "DELETE"]
        assert deletes == []
        assert len(await place.pods()) == 4
