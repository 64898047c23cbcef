"""Jobs on several nodes of a Slurm site at once."""

from cubernetes.api.gpu.gpujob import GpuProgram, GpuResources
from gpu.machine import Event
from tests.contract.gpu.slurm_worlds import PaperSlurmWorld, RealSlurmWorld
from tests.contract.gpu.test_slurm import Sent, ended, output, paper, real
from tests.contract.gpu.worlds import a_job

__all__ = ["paper", "real"]


async def test_a_job_on_several_nodes_is_so_much_on_each_and_its_program_begins_on_each(
    paper: PaperSlurmWorld,
) -> None:
    program = GpuProgram(cuda="add.cu")
    each = GpuResources(gpus=2, cpus=3)
    job = await a_job(
        paper.admin, script="", program=program, files={"add.cu": ""}, resources=each, nodes=2
    )
    key = f"{job.metadata.uid}-1"

    await paper.driver.submit(await paper.site(), job, key)

    wanted = {"--nodes=2", "--ntasks-per-node=1", "--gres=gpu:2", "--cpus-per-task=3"}
    assert wanted <= set(paper.calls()[0])
    run = (paper.line.home("a") / key / "start.sh").read_text().splitlines()[-1]
    assert run == "srun --kill-on-bad-exit=1 --cpus-per-task=3 ./cube-program "


async def test_a_job_runs_on_two_nodes_of_a_real_slurm_at_once(real: RealSlurmWorld) -> None:
    """Each waits for the word of the other: one after the other they would wait for ever."""
    other = '[ "$SLURMD_NODENAME" = g1 ] && other=g2 || other=g1'
    task = f"touch here-$SLURMD_NODENAME; {other}; until [ -e here-$other ]; do sleep 0.05; done"
    run = f"srun sh -c '{task}; echo $SLURMD_NODENAME has $CUDA_VISIBLE_DEVICES of '$SLURM_NNODES"
    site = await real.site("a", "wide")
    job = await a_job(real.admin, script=run, resources=GpuResources(gpus=2), nodes=2)
    one = Sent(site, job)
    assert len((await real.driver.observe(site)).devices) == 4

    await real.driver.submit(site, job, one.key)

    told = await ended(real, one)
    assert (told.state, told.message) == (Event.SUCCEEDED, "")
    lines = sorted((await output(real, one)).splitlines())
    assert lines == ["g1 has 0,1 of 2", "g2 has 0,1 of 2"]
