"""Outputs of GPU jobs at sites outside of the cluster, handed on from who asks these."""

from collections.abc import AsyncIterator, Mapping

from cubernetes.api.errors import ApiError, ServiceUnavailable
from cubernetes.host.web.messages import Request
from tests.contract.api.world import ADMIN, World, a_world

JOBS = "/apis/gpu.cubernetes.io/v1/namespaces/default/gpujobs"


class PaperJobs:
    """Answers with a line, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.refusal: ApiError | None = None

    async def open(self, path: str, query: str) -> AsyncIterator[bytes]:
        self.asked.append((path, query))
        if self.refusal is not None:
            raise self.refusal
        return self._lines()

    async def _lines(self) -> AsyncIterator[bytes]:
        yield b"right\n"


async def a_sent_job(world: World, site_job_id: str = "77") -> None:
    """Make a job that its site knows."""
    job = {
        "apiVersion": "gpu.cubernetes.io/v1",
        "kind": "GpuJob",
        "metadata": {"name": "add"},
        "spec": {"script": "true"},
    }
    await world.call("POST", JOBS, job)
    told = {"phase": "Running", "site": "hpc", "attempt": 1, "submissionKey": "uid-1"}
    status = {"status": {**told, "siteJobID": site_job_id}}
    headers = {"content-type": "application/merge-patch+json"}
    answer = await world.call("PATCH", f"{JOBS}/add/status", status, headers=headers)
    assert answer.code == 200, answer.tree


async def output(world: World, query: Mapping[str, str] = {}) -> tuple[int, bytes]:
    request = Request("GET", f"{JOBS}/add/output", tuple(query.items()), identity=ADMIN)
    response = await world.server.handle(request)
    if isinstance(response.body, bytes):
        return response.status, response.body
    return response.status, b"".join([piece async for piece in response.body])


async def test_an_output_is_asked_for_by_the_jobs_site_and_key() -> None:
    jobs = PaperJobs()
    async with a_world(jobs=jobs) as world:
        await a_sent_job(world)

        assert await output(world, {"stream": "err", "follow": "true"}) == (200, b"right\n")

        assert jobs.asked == [("/output/hpc/uid-1/err", "follow=true&offset=0")]
        code, said = await output(world, {"stream": "Stderr"})
        assert (code, b"stream: must be out or err" in said) == (400, True)
        jobs.refusal = ServiceUnavailable("site hpc: no answer")
        assert (await output(world))[0] == 503


async def test_what_has_no_output_there_says_where_it_is() -> None:
    jobs = PaperJobs()
    async with a_world(jobs=jobs) as world:
        assert (await output(world))[0] == 404
        await a_sent_job(world, site_job_id="")
        code, said = await output(world)
        assert (code, b"has no output yet, Running" in said) == (400, True)
    async with a_world(jobs=jobs) as world:
        await a_sent_job(world, site_job_id="default/gpujob-uid-1")
        code, said = await output(world)
        assert (code, b"the log of its pod default/gpujob-uid-1" in said) == (400, True)
    assert jobs.asked == []
