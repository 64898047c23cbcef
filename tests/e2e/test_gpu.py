"""GPU jobs on real nodes: built and run by two CPU stand-ins, read, cancelled, and gone."""

from pathlib import Path

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.gpu.gpujob import GpuJob, has_ended
from cubernetes.api.gpu.gpusite import GpuSite, GpuSiteSpec, StandIn
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.rest import Client
from lab.archive import archives_in
from tests.e2e.cluster import CUBEROOT, Cluster, until
from tests.e2e.test_functions import cubectl

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

ENABLED_S = 180.0
# A job is built on its node first: seconds, on a machine with nothing else to do.
DONE_S = 120.0
NODES = ("n2", "n3")
HOST = "kubernetes.io/hostname"
HOUSE = Path(__file__).resolve().parents[2]
EXAMPLES = HOUSE / "examples" / "gpu"
SLEEPER = "echo begun; echo trouble >&2; sleep 600\n"


async def phase_of(client: Client, name: str) -> str:
    return (await client.get(GpuJob, name, "default")).status.phase


async def test_two_jobs_at_once_run_at_two_stand_ins_and_one_is_cancelled(
    cluster: Cluster, client: Client, kubeconfig: Path, tmp_path: Path
) -> None:
    """W39, W40, W41: one site compiled in, ends untold, and a cancelled job that ran on."""
    apart = HOUSE / "var" / "images" / "apart"
    if not list(apart.glob("*.tar")):
        pytest.skip("needs the stand-ins' image: scripts/build-images, with a network")
    for name in NODES:
        await cluster.lab.node(name).load(archives_in(apart))
    await cluster.run("n1", [*CUBEROOT, "enable", "gpu"], deadline_s=ENABLED_S)
    try:
        await _two_at_once(client, kubeconfig)
        await _one_is_cancelled(client, kubeconfig, tmp_path)
        await cubectl(kubeconfig, "delete", "gpujob", "add", "mult", "sleeper")

        async def is_gone() -> bool:
            pods = (await client.list(Pod, "default", labels="gpu.cubernetes.io/key")).items
            return not pods and not (await client.list(GpuJob, "default")).items

        await until("jobs and pods are gone", is_gone, DONE_S)
    finally:
        for site in ("x", "y"):
            await client.delete(GpuSite, site)
        await cluster.run("n1", [*CUBEROOT, "disable", "gpu"], deadline_s=ENABLED_S)


async def _two_at_once(client: Client, kubeconfig: Path) -> None:
    for site, node in zip(("x", "y"), NODES, strict=True):
        stand_in = StandIn(gpus=1, node_selector={HOST: node})
        spec = GpuSiteSpec(type="standin", stand_in=stand_in)
        await client.create(GpuSite(metadata=ObjectMeta(name=site), spec=spec))
    for name in ("add", "mult"):
        made = ["create", "gpujob", name, "--from", str(EXAMPLES / name), "--allow-stand-in"]
        await cubectl(kubeconfig, *made)

    async def are_done() -> bool:
        jobs = (await client.list(GpuJob, "default")).items
        return len(jobs) == 2 and all(map(has_ended, jobs))

    await until("both jobs have ended", are_done, DONE_S)
    jobs = {one.metadata.name: one for one in (await client.list(GpuJob, "default")).items}
    assert {one.status.phase for one in jobs.values()} == {"Succeeded"}, jobs
    assert {one.status.site for one in jobs.values()} == {"x", "y"}
    assert {one.status.node_name for one in jobs.values()} == set(NODES)
    for name, words in (("add", "10000 elements, right"), ("mult", "64 x 64, right")):
        output = await cubectl(kubeconfig, "logs", f"gpujob/{name}")
        assert output.startswith("CPU STAND-IN: no GPU is used here")
        assert f"{name}: {words}, on CPU STAND-IN (no GPU was used)" in output


async def _one_is_cancelled(client: Client, kubeconfig: Path, folder: Path) -> None:
    (folder / "run.sh").write_text(SLEEPER)
    await cubectl(
        kubeconfig, "create", "gpujob", "sleeper", "--from", str(folder), "--allow-stand-in"
    )

    async def has_begun() -> bool:
        if await phase_of(client, "sleeper") != "Running":
            return False
        return "begun" in await cubectl(kubeconfig, "logs", "gpujob/sleeper")

    await until("the sleeper runs", has_begun, DONE_S)
    await cubectl(kubeconfig, "cancel", "gpujob/sleeper")

    async def is_cancelled() -> bool:
        return await phase_of(client, "sleeper") == "Cancelled"

    await until("the sleeper is cancelled", is_cancelled, DONE_S)
    assert "trouble" in await cubectl(kubeconfig, "logs", "gpujob/sleeper")
