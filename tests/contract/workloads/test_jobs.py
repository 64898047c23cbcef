"""Jobs against the real API server, controllers and scheduler, and a tiny kubelet."""

from collections.abc import AsyncIterator

import pytest

from cubernetes.api.batch.job import TRACKING, Job, is_over
from cubernetes.api.bodies.envelopes import Propagation
from cubernetes.api.condition import is_true
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podstatus import Phase, PodStatus
from cubernetes.api.errors import Invalid
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.client.rest import Client
from tests.contract.workloads.tended import a_tended_cluster
from tests.contract.workloads.test_controllers import until
from tests.given import a_job, a_template

FAILING = "fails"  # the image of pods that fail


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with a_tended_cluster("n1", tend=_tend) as found:
        yield found


async def _tend(client: Client, pod: Pod) -> None:
    """Let a pod end as its image says; `sleeps` runs until it is asked to end."""
    image = pod.spec.containers[0].image
    if not is_finished(pod) and image != "sleeps":
        phase: Phase = "Failed" if image == FAILING else "Succeeded"
        await client.update_status(replaced(pod, status=PodStatus(phase=phase)))


def a_wish(image: str = "works", **spec: object) -> Job:
    template = a_template({})
    container = replaced(template.spec.containers[0], image=image)
    pod = replaced(template.spec, containers=(container,), restart_policy="Never")
    fields = {"template": replaced(template, spec=pod), **spec}
    wanted = replaced(a_job().spec, selector=None, **fields)
    return Job(metadata=ObjectMeta(name="work", namespace="default"), spec=wanted)


async def job(client: Client) -> Job:
    return await client.get(Job, "work", "default")


async def over(client: Client) -> Job | None:
    one = await job(client)
    return one if is_over(one) else None


async def pods(client: Client) -> list[Pod]:
    return list((await client.list(Pod, "default")).items)


@pytest.mark.parametrize("mode", ["NonIndexed", "Indexed"])
async def test_a_job_is_complete_when_as_many_pods_succeeded(client: Client, mode: str) -> None:
    await client.create(a_wish(completions=4, parallelism=2, completion_mode=mode))

    done = await until(lambda: over(client))

    assert is_true(done.status.conditions, "Complete")
    assert (done.status.succeeded, done.status.failed, done.status.active) == (4, 0, 0)
    found = await pods(client)
    assert len(found) == 4
    assert not any(TRACKING in one.metadata.finalizers for one in found)
    assert done.status.completed_indexes == ("0-3" if mode == "Indexed" else "")


async def test_a_job_fails_with_its_pods(client: Client) -> None:
    await client.create(a_wish(FAILING, backoff_limit=0, completions=3, parallelism=2))

    done = await until(lambda: over(client))

    assert is_true(done.status.conditions, "Failed")
    assert done.status.failed == len(await pods(client)) == 2


@pytest.mark.parametrize("propagation", ["Background", "Foreground", "Orphan"])
async def test_a_job_goes_as_it_is_asked_and_its_pods_are_let_go(
    client: Client, propagation: Propagation
) -> None:
    await client.create(a_wish("sleeps", completions=2, parallelism=2))

    async def are_made() -> bool:
        return (await job(client)).status.active == 2

    await until(are_made)
    await client.delete(Job, "work", "default", propagation=propagation)

    async def is_gone() -> bool:
        found = await pods(client)
        is_free = not any(one.metadata.finalizers for one in found)
        jobs = (await client.list(Job, "default")).items
        return not jobs and is_free and len(found) == (2 if propagation == "Orphan" else 0)

    assert await until(is_gone)


async def test_a_suspended_job_has_no_pods_until_it_is_resumed(client: Client) -> None:
    await client.create(a_wish(suspend=True))

    async def is_told() -> bool:
        return is_true((await job(client)).status.conditions, "Suspended")

    await until(is_told)
    assert await pods(client) == []

    await client.patch(Job, "work", "default", {"spec": {"suspend": False}})
    done = await until(lambda: over(client))
    assert done.status.succeeded == 1


async def test_a_job_goes_by_itself_after_its_time_to_live(client: Client) -> None:
    await client.create(a_wish(ttl_seconds_after_finished=0))

    async def is_gone() -> bool:
        return not (await client.list(Job)).items and not await pods(client)

    assert await until(is_gone)


async def test_a_template_that_changes_is_refused(client: Client) -> None:
    await client.create(a_wish("sleeps"))
    change = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}

    with pytest.raises(Invalid, match=r"spec\.template.*field is immutable"):
        await client.patch(Job, "work", "default", change)
