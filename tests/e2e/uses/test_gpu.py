"""GPU jobs on real nodes: built and run by two CPU stand-ins, read, cancelled, and gone."""

from pathlib import Path

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import Conflict
from cubernetes.api.gpu.gpujob import GpuJob, GpuJobSpec
from cubernetes.api.gpu.gpusite import GpuSite, GpuSiteSpec
from cubernetes.api.gpu.slurm import Slurm
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.client.rest import Client
from tests.e2e.cluster import CUBEROOT, Cluster, until
from tests.e2e.tours import toured
from tests.e2e.uses.test_functions import cubectl

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

ENABLED_S, TOURED_S, DONE_S = 180.0, 400.0, 60.0
HOUSE = Path(__file__).resolve().parents[3]


async def test_two_jobs_at_once_run_at_two_stand_ins_and_one_is_cancelled(
    cluster: Cluster, client: Client, kubeconfig: Path
) -> None:
    """W39, W40, W41: one site compiled in, ends untold, and a cancelled job that ran on."""
    if not list((HOUSE / "var" / "images" / "apart").glob("*.tar")):
        pytest.skip("needs the stand-ins' image: scripts/build-images, with a network")
    try:
        said = await toured(cluster, kubeconfig, "tour-gpu", TOURED_S)
        assert "The tour of GPU jobs is done" in said
        assert not (await client.list(GpuJob, "default")).items
        assert not (await client.list(Pod, "default", labels="gpu.cubernetes.io/key")).items
        await _an_output_is_asked_for_at_its_site(client, kubeconfig)
    finally:
        await cluster.run("n1", [*CUBEROOT, "disable", "gpu"], deadline_s=ENABLED_S)


async def _an_output_is_asked_for_at_its_site(client: Client, kubeconfig: Path) -> None:
    """From cubectl by the API server and the program to the door of a site where nobody is."""
    slurm = Slurm(
        host="127.0.0.1",
        port=9,
        user="hpc",
        key_secret="hpc",
        host_keys=("ssh-ed25519 " + "A" * 68,),
    )
    site = GpuSite(metadata=ObjectMeta(name="hpc"), spec=GpuSiteSpec(type="slurm", slurm=slurm))
    meta = ObjectMeta(name="away", namespace="default")
    await client.create(site)
    await client.create(GpuJob(metadata=meta, spec=GpuJobSpec(script="true", site="hpc")))

    async def is_there() -> bool:
        """Say that it runs there; the program may write its status at the same time."""
        job = await client.get(GpuJob, "away", "default")
        key = f"{job.metadata.uid}-1"
        told = replaced(
            job.status, phase="Running", site="hpc", attempt=1, submission_key=key, site_job_id="7"
        )
        try:
            await client.update_status(replaced(job, status=told))
        except Conflict:
            return False
        return True

    await until("its status is written", is_there, DONE_S)
    try:
        with pytest.raises(AssertionError, match="the Secret gpu-sites/hpc is not there"):
            await cubectl(kubeconfig, "logs", "gpujob/away", "-f")
    finally:
        for kind, name, place in ((GpuJob, "away", "default"), (GpuSite, "hpc", "")):
            await client.patch(kind, name, place, {"metadata": {"finalizers": []}})
            await client.delete(kind, name, place)
