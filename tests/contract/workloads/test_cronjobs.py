"""CronJobs against the real API server and controllers: those may make Jobs, and make each once."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from cubernetes.api.batch.cronjob import CronJob, CronJobSpec, CronJobStatus, JobTemplate
from cubernetes.api.batch.job import Job
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.client.rest import Client
from tests.contract.workloads.test_controllers import a_cluster, until
from tests.given import a_job, a_template


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with a_cluster(silent_after_s=600.0) as found:
        yield found


def a_wish() -> CronJob:
    pods = replaced(a_template({}).spec, restart_policy="Never")
    spec = replaced(a_job().spec, selector=None, template=replaced(a_template({}), spec=pods))
    wanted = CronJobSpec(schedule="0 0 1 1 *", suspend=True, job_template=JobTemplate(spec=spec))
    return CronJob(metadata=ObjectMeta(name="tick", namespace="default"), spec=wanted)


async def test_a_time_that_was_missed_is_made_up_for_by_one_job(client: Client) -> None:
    made = await client.create(a_wish())
    years_ago = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1200)
    await client.update_status(replaced(made, status=CronJobStatus(last_schedule_time=years_ago)))
    await client.patch(CronJob, "tick", "default", {"spec": {"suspend": False}})

    async def is_told() -> CronJob | None:
        one = await client.get(CronJob, "tick", "default")
        return one if one.status.active else None

    found = await until(is_told)
    (job,) = (await client.list(Job, "default")).items
    assert found.status.last_schedule_time is not None
    assert found.status.last_schedule_time > datetime.now(UTC) - timedelta(days=367)
    assert [one.name for one in found.status.active] == [job.metadata.name]
    assert job.metadata.controller == found.owner_reference()


async def test_jobs_go_with_their_cronjob(client: Client) -> None:
    made = await client.create(a_wish())
    owned = ObjectMeta(name="mine", namespace="default", owner_references=(made.owner_reference(),))
    await client.create(Job(metadata=owned, spec=made.spec.job_template.spec))
    await client.delete(CronJob, "tick", "default")

    async def is_empty() -> bool:
        return not (await client.list(Job)).items

    assert await until(is_empty)
