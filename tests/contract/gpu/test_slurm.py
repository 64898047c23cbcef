"""Slurm's sites beyond what every site promises: attacks, interruptions, and how jobs end."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import cast

import pytest

from cubernetes.api.errors import BadRequest, Invalid, NotFound
from cubernetes.api.gpu.gpujob import GpuJob, GpuProgram, GpuResources
from cubernetes.api.gpu.gpusite import GpuSite
from cubernetes.api.meta import replaced
from cubernetes.api.quantities import Quantity
from cubernetes.client.connect import ClientSettings
from cubernetes.host.env import Env
from gpu.driver import JobRefused, Observation, SiteTrouble, Stream
from gpu.machine import Event
from gpu.run import run
from gpu.settings import GpuSettings
from gpu.sites.slurm.driver import SlurmSites
from gpu.sites.slurm.line import Address, Answer, Lines
from tests.contract.gpu.outputways import told_outputs
from tests.contract.gpu.realslurm import RealSlurm
from tests.contract.gpu.slurm_worlds import (
    A_HOST_KEY,
    BYTES_MAX,
    PaperLine,
    PaperSlurmWorld,
    RealSlurmWorld,
    a_slurm_site,
    paper_slurm_world,
    real_slurm_world,
)
from tests.contract.gpu.worlds import a_job, must_report, until

NOWHERE = Address("paper", 22, "hpc", (), "")
ATTACKS = (
    "", "sh", "cat /etc/passwd", "states; id", "states $(id)", "states now", "submit",
    "submit ../x",
    "submit $(id)", "submit 00-1;id", "submit 00-1 x", "submit 00-1\n", "submit -1", "read 00-1",
    "read 00-1 ../id 0", "read 00-1 out -5", "read 00-1 out 0x1", "read 00-1 out 0\n", "cancel /",
    "remove .", "remove removed", "remove 00-1/..", f"read {'0' * 300} out 0", "scp -t /tmp",
    "job 00-1", "internal-sftp",
)  # fmt: skip


@pytest.fixture
async def paper() -> AsyncIterator[PaperSlurmWorld]:
    async with paper_slurm_world() as world:
        yield cast(PaperSlurmWorld, world)


@pytest.fixture
async def real(real_slurm: RealSlurm) -> AsyncIterator[RealSlurmWorld]:
    async with real_slurm_world(real_slurm) as world:
        yield world


class Sent:
    """A job that has been sent."""

    def __init__(self, site: GpuSite, job: GpuJob) -> None:
        self.site, self.job, self.key = site, job, f"{job.metadata.uid}-1"


async def sent(
    world: PaperSlurmWorld | RealSlurmWorld, script: str = "true", **fields: object
) -> Sent:
    job = await a_job(world.admin, **{"script": script, **fields})  # type: ignore[arg-type]  # by name
    made = Sent(await world.site(), job)
    await world.driver.submit(made.site, made.job, made.key)
    return made


async def seen(world: PaperSlurmWorld, one: Sent) -> Observation:
    return (await world.driver.observe(one.site)).jobs[one.key]


async def ended(world: RealSlurmWorld, one: Sent, *, with_words: bool = False) -> Observation:
    live = (Event.QUEUED, Event.RUNNING)
    report = await must_report(
        world,
        one.site,
        lambda told: (
            told.jobs[one.key].state not in live
            and (not with_words or bool(told.jobs[one.key].message))
        ),
    )
    return report.jobs[one.key]


async def output(world: RealSlurmWorld, one: Sent, stream: Stream = "out", offset: int = 0) -> str:
    driver = cast(SlurmSites, world.driver)
    return (await driver.read(one.site, one.key, stream, offset)).decode()


@pytest.mark.parametrize("words", ATTACKS)
async def test_the_forced_command_refuses_what_is_none_of_its_verbs(
    tmp_path: Path, words: str
) -> None:
    line = PaperLine(tmp_path)

    answer = await line.ask("a", NOWHERE, words, b"{}")

    assert (answer.code, answer.stdout) == (64, b"")
    assert answer.stderr == "cube-site: no such request"
    assert not any(line.home("a").iterdir())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"files": {"../x": ""}}, "files"),
        ({"files": {"/etc/cron.d/x": ""}}, "files"),
        ({"files": {"a/../../x": ""}}, "files"),
        ({"files": {"a": "", "a/b": ""}}, "files"),
        ({"files": {"x" * 201: ""}}, "files"),
        ({"files": {f"f{index}": "" for index in range(101)}}, "files"),
        ({"files": {"a": "x" * (1 << 20), "b": "x"}}, "files"),
        ({"files": {"a": 1}}, "files"),
        ({"files": ["a"]}, "files"),
        ({"cuda": "add.cu"}, "cuda"),
        ({"cuda": "a;id", "files": {"a;id": ""}}, "cuda"),
        ({"gpuType": "h200:1 --uid=0"}, "gpuType"),
        ({"gpus": 0}, "gpus"),
        ({"gpus": True}, "gpus"),
        ({"gpus": "1"}, "gpus"),
        ({"nodes": 2}, "gpusPerNode"),
        ({"nodes": 0, "gpusPerNode": 1}, "nodes"),
        ({"nodes": "2 --uid=0", "gpusPerNode": 1}, "nodes"),
        ({"cpus": 1.5}, "cpus"),
        ({"limitSeconds": 10**9}, "limitSeconds"),
        ({"memoryMiB": -1}, "memoryMiB"),
        ({"partition": "gpu --uid=0"}, "partition"),
        ({"partition": "-w"}, "partition"),
        ({"account": "a\n#SBATCH --uid=0"}, "account"),
        ({"modules": ["cuda; id"]}, "modules"),
        ({"arch": "sm_90;id"}, "arch"),
        ({"script": "a\0b"}, "script"),
        ({"script": ""}, "script"),
        ({"frame": ""}, "frame"),
        ({"outputBytesMax": 0}, "outputBytesMax"),
    ],
)
async def test_a_request_that_is_not_of_its_form_is_refused_by_the_name_of_its_field(
    tmp_path: Path, change: dict[str, object], field: str
) -> None:
    line = PaperLine(tmp_path)
    wanted = {
        "files": {}, "script": "true", "gpus": 1, "cpus": 1, "memoryMiB": 10, "limitSeconds": 60,
        "outputBytesMax": 1, "frame": "pass",
    }  # fmt: skip

    answer = await line.ask("a", NOWHERE, "submit 00-1", json.dumps(wanted | change).encode())

    assert answer.code == 65
    assert answer.stderr.startswith(f"cube-site: {field}: ")
    assert not (tmp_path / "calls").exists()


async def test_no_word_of_a_job_is_a_word_of_sbatch(paper: PaperSlurmWorld) -> None:
    """#SBATCH lines count where sbatch reads them: in its own script, which has none of ours."""
    with pytest.raises(Invalid, match="#SBATCH lines are not taken"):
        await a_job(paper.admin, "evil", script="#SBATCH --uid=0\ntrue")
    job = await a_job(paper.admin)
    evil = "#SBATCH --uid=0\n#SBATCH -w g2\ntrue"
    job = replaced(job, spec=replaced(job.spec, script=evil, files={"x": evil}))
    site, key = await paper.site(), f"{job.metadata.uid}-1"

    await paper.driver.submit(site, job, key)

    folder = paper.line.home("a") / key
    (words,) = paper.calls()
    assert not [one for one in words if "SBATCH" in one or "uid" in one]
    frame = f"exec /usr/bin/env python3 {folder}/frame.py {folder} {BYTES_MAX}\n"
    assert (folder / "job.sh").read_text() == f"#!/bin/sh\n{frame}"
    assert words[-1] == str(folder / "job.sh")
    assert {"--gres=gpu:1", "--time=10:00", "--mem=1024M", "--cpus-per-task=1"} <= set(words)


async def test_what_a_site_says_of_its_jobs_is_what_sbatch_is_told(paper: PaperSlurmWorld) -> None:
    told = {"partition": "gpu", "account": "lab", "modules": ("gcc", "cuda/12.4"), "arch": "sm_90"}
    site = await a_slurm_site(paper.admin, "a", told)
    program = GpuProgram(cuda="add.cu", args=("a b", "$(id)"))
    job = await a_job(paper.admin, script="", program=program, files={"add.cu": "text"})
    key = f"{job.metadata.uid}-1"

    await paper.driver.submit(site, job, key)

    assert {"--partition=gpu", "--account=lab"} <= set(paper.calls()[0])
    lines = (paper.line.home("a") / key / "start.sh").read_text().splitlines()
    build = "nvcc -O2 -std=c++17 -arch=sm_90 -I. -o ./cube-program add.cu"
    assert lines[0] == "module load gcc cuda/12.4"
    assert lines[1] == f"{build} || {{ echo add.cu could not be built >&2; exit 65; }}"
    assert lines[2] == "./cube-program 'a b' '$(id)'"


async def test_what_a_job_puts_in_the_place_of_its_outputs_is_not_followed(
    paper: PaperSlurmWorld,
) -> None:
    one = await sent(paper)
    secret = paper.folder / "secret"
    secret.write_text("secret")
    folder = paper.line.home("a") / one.key
    (folder / "out").symlink_to(secret)
    os.mkfifo(folder / "err")
    (folder / "end").symlink_to(secret)
    driver = cast(SlurmSites, paper.driver)

    assert await driver.read(one.site, one.key, "out", 0) == b""
    assert await driver.read(one.site, one.key, "err", 0) == b""
    assert (await seen(paper, one)).state is Event.QUEUED
    (folder / "files" / "away").symlink_to(paper.folder)
    await paper.driver.remove(one.site, one.job, one.key)
    assert secret.read_text() == "secret"
    assert not folder.exists()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_submission_that_was_killed_is_found_by_its_key_and_never_doubled(
    paper: PaperSlurmWorld, when: str
) -> None:
    (paper.folder / "dies").write_text(when)
    site, job = await paper.site(), await a_job(paper.admin)
    key = f"{job.metadata.uid}-1"
    with pytest.raises(SiteTrouble):
        await paper.driver.submit(site, job, key)
    assert paper.asked() == ["sbatch"]
    is_there = key in (await paper.driver.observe(site)).jobs
    assert is_there == (when == "after")

    await paper.driver.submit(site, job, key)

    assert paper.run_count(key) == 1


async def test_a_request_that_is_cut_short_leaves_nothing(paper: PaperSlurmWorld) -> None:
    one = await sent(paper)
    whole = json.dumps({"script": "true"}).encode()

    answer = await paper.line.ask("a", NOWHERE, "submit 00-2", whole[:-3])

    assert (answer.code, paper.run_count("00-2")) == (75, 0)
    assert set((await paper.driver.observe(one.site)).jobs) == {one.key}


async def test_a_removed_key_is_never_taken_again(paper: PaperSlurmWorld) -> None:
    one = await sent(paper)
    await paper.driver.remove(one.site, one.job, one.key)

    with pytest.raises(JobRefused, match="has been removed"):
        await paper.driver.submit(one.site, one.job, one.key)

    assert (await paper.driver.observe(one.site)).jobs == {}


async def test_what_slurm_cannot_ever_run_is_refused_in_its_own_words(
    paper: PaperSlurmWorld,
) -> None:
    with pytest.raises(JobRefused, match="Requested node configuration is not available"):
        await sent(paper, resources=GpuResources(gpus=64))


async def test_a_controller_that_does_not_answer_tells_nothing(paper: PaperSlurmWorld) -> None:
    """It says so on stderr alone, and ends with 0."""
    one = await sent(paper)
    (paper.folder / "down").touch()
    for ask in (paper.driver.submit, paper.driver.cancel, paper.driver.remove):
        with pytest.raises(SiteTrouble, match="Unable to contact"):
            await ask(one.site, one.job, f"{one.key}{'0' if ask == paper.driver.submit else ''}")
    with pytest.raises(SiteTrouble, match="Unable to contact"):
        await paper.driver.observe(one.site)


async def test_w40_an_end_is_known_when_slurm_has_forgotten_it(paper: PaperSlurmWorld) -> None:
    """W40: an id that the queue had purged made a job that was done a failed one."""
    one = await sent(paper)
    await paper.runs(one.key)
    await paper.loses(one.key)
    assert (await seen(paper, one)).state is Event.LOST
    paper.tell(one.key, state="FORGOTTEN")
    assert (await seen(paper, one)).state is Event.LOST

    two = Sent(one.site, await a_job(paper.admin, "two"))
    await paper.driver.submit(two.site, two.job, two.key)
    paper.tell(two.key, state="FORGOTTEN")
    paper.finish(two.key, exit=3)
    told = await seen(paper, two)
    assert (told.state, told.exit_code) == (Event.FAILED, 3)


async def test_a_job_that_the_queue_has_lost_is_lost_after_three_answers(
    paper: PaperSlurmWorld,
) -> None:
    one = await sent(paper)
    await paper.runs(one.key)
    paper.tell(one.key, state="FORGOTTEN", accounted="RUNNING")

    told = [(await seen(paper, one)) for _ in range(3)]

    assert [each.state for each in told] == [Event.QUEUED, Event.QUEUED, Event.LOST]
    assert told[-1].reason == "RunawayAtSite"


async def test_gpus_are_those_of_nodes_that_can_be_used(paper: PaperSlurmWorld) -> None:
    report = await paper.driver.observe(await paper.site())

    assert dict(report.devices) == {"g1/h200-0": "h200", "g1/h200-1": "h200"}
    assert report.message == "Slurm: 2 GPUs of 2 nodes, all partitions"


async def test_a_key_that_is_not_there_is_named(paper: PaperSlurmWorld) -> None:
    site = await a_slurm_site(paper.admin, "other")

    with pytest.raises(SiteTrouble, match="Secret gpu-sites/other is not there"):
        await paper.driver.observe(site)


async def test_ends_are_told_apart_by_a_real_slurm(real: RealSlurmWorld) -> None:
    """A code, a signal, too much memory, and an owner and a site that end it."""
    told = {}
    scripts = {
        "code": "echo words >&2; exit 3",
        "signal": "kill -SEGV $$",
        "memory": "python3 -c 'x = b\"x\" * (400 << 20); import time; time.sleep(100)'",
        "here": "sleep 100",
        "there": "sleep 100",
    }
    site = await real.site()
    memory = GpuResources(gpus=2, memory=Quantity("64Mi"))
    for name, script in scripts.items():
        one = Sent(site, await a_job(real.admin, name, script=script, resources=memory))
        await real.driver.submit(one.site, one.job, one.key)
        if name in ("here", "there"):
            await real.runs(one.key)
        if name == "here":
            await real.driver.cancel(one.site, one.job, one.key)
        if name == "there":
            real.slurm.run("scancel", "-n", f"cube-{one.key}")
        # Slurm may tell of an end before its last words are in their file.
        told[name] = await ended(real, one, with_words=name == "code")

    assert (told["code"].state, told["code"].exit_code) == (Event.FAILED, 3)
    assert told["code"].message == "words"
    assert (told["signal"].state, told["signal"].signal) == (Event.FAILED, 11)
    assert told["memory"].state is Event.OUT_OF_MEMORY
    assert told["here"].message == "cancelled by its owner"
    assert told["there"].message.startswith("cancelled at the site")
    assert {told["here"].state, told["there"].state} == {Event.CANCELLED}


async def test_output_is_read_while_it_comes_and_is_bounded(real: RealSlurmWorld) -> None:
    script = f"echo begun; {real.script.replace('exit', 'head -c 9000 /dev/zero; exit')}"
    one = await sent(real, script=script)
    while "begun\n" not in await output(real, one):
        await real.driver.observe(one.site)
    await real.ends(one.key, 0)
    assert (await ended(real, one)).state is Event.SUCCEEDED

    kept = await output(real, one)

    dropped = len("begun\n") + 9000 - BYTES_MAX
    assert kept[BYTES_MAX:] == f"\ncube-site: {dropped} bytes more were not kept\n"
    assert await output(real, one, offset=4) == kept[4:]
    assert await output(real, one, "err") == ""


async def test_an_output_is_followed_from_the_api_server_to_the_site_and_back(
    real: RealSlurmWorld, tmp_path: Path
) -> None:
    """Each word is read while the program waits for the next thing that the test does."""
    ask = f"echo begun; {real.script.replace('exit', 'echo woken >&2; echo done; exit')}"
    one = await sent(real, script=ask)
    async with told_outputs(tmp_path, one.site, real.driver) as way:
        path = f"/output/a/{one.key}"
        out = await way.jobs.open(f"{path}/out", "follow=true&offset=0")
        assert await anext(out) == b"begun\n"
        err = await way.jobs.open(f"{path}/err", "follow=true&offset=0")
        await real.ends(one.key, 0)
        assert await anext(out) == b"done\n"
        assert [piece async for piece in err] == [b"woken\n"]
        assert [piece async for piece in out] == []
        later = await way.jobs.open(f"{path}/out", "follow=false&offset=6")
        assert [piece async for piece in later] == [b"done\n"]
        with pytest.raises(BadRequest, match="out or err"):
            await way.jobs.open(f"{path}/log", "follow=false&offset=0")
        with pytest.raises(NotFound, match="no GpuSite"):
            await way.jobs.open(f"/output/b/{one.key}/out", "follow=false&offset=0")


async def test_more_requests_than_an_sshd_has_sessions_for_wait_for_their_turn(
    real: RealSlurmWorld,
) -> None:
    """Ten for one connection, where it was not told otherwise: the next ones broke it."""
    one = await sent(real, script=f"echo begun; {real.script}")
    lines = cast(SlurmSites, real.driver)
    told = await asyncio.gather(*(real.driver.observe(one.site) for _ in range(12)))
    assert {len(report.devices) for report in told} == {2}

    async def first_word() -> bytes:
        async with aclosing(lines.output(one.site, one.key, "out", 0, follow=True)) as pieces:
            async for piece in pieces:
                if piece:
                    return piece
        return b""

    async with asyncio.timeout(60):
        assert set(await asyncio.gather(*(first_word() for _ in range(12)))) == {b"begun\n"}


async def test_a_program_sees_its_files_and_the_gpus_that_slurm_gave_it(
    real: RealSlurmWorld,
) -> None:
    words = 'cat data/x; echo "$CUDA_VISIBLE_DEVICES"; echo "$SBATCH_ACCOUNT$SSH_ORIGINAL_COMMAND"'
    one = await sent(real, script=words, files={"data/x": "hello\n"})
    assert (await ended(real, one)).state is Event.SUCCEEDED

    assert (await output(real, one)).splitlines()[:2] == ["hello", "0"]
    assert (await output(real, one)).splitlines()[2] == ""


async def test_the_door_of_a_real_sshd_lets_nothing_else_in(real: RealSlurmWorld) -> None:
    site = await real.site()
    await real.driver.observe(site)
    slurm = real.slurm
    key = (real.folder / "a").read_text()
    address = Address(slurm.address, slurm.port, "root", (slurm.host_key,), key)
    lines = Lines()
    try:
        answers: list[Answer] = [
            await lines.ask("a", address, words) for words in ("id", "sh -c id", "states; id")
        ]
    finally:
        await lines.close()
    assert [(one.code, one.stdout) for one in answers] == [(64, b"")] * 3


async def test_w39_a_host_with_another_key_is_sent_nothing(real: RealSlurmWorld) -> None:
    """W39: the host's key was not looked at."""
    site = await real.site()
    assert site.spec.slurm is not None
    forged = replaced(site.spec.slurm, host_keys=(A_HOST_KEY,))
    other = replaced(site, spec=replaced(site.spec, slurm=forged))
    job = await a_job(real.admin)

    with pytest.raises(SiteTrouble, match="does not have the key that is pinned"):
        await real.driver.submit(other, job, f"{job.metadata.uid}-1")

    assert real.run_count(f"{job.metadata.uid}-1") == 0
    await asyncio.gather(*(real.driver.observe(site) for _ in range(4)))


async def test_w41_a_deleted_site_goes_when_nothing_of_ours_is_left_there(
    paper: PaperSlurmWorld,
) -> None:
    """W41: folders of jobs stayed at the site for ever."""
    told = GpuSettings(
        client=ClientSettings(servers=(), ca=""), look_interval_s=0.2, ask_interval_s=0.2
    )
    task = asyncio.create_task(run(told, Env(), paper.client, {"slurm": paper.driver}))
    try:
        await paper.site()
        job = await a_job(paper.admin)
        key = f"{job.metadata.uid}-1"

        async def phase(wanted: str) -> bool:
            return (await paper.admin.get(GpuJob, "add", "default")).status.phase == wanted

        await until(lambda: phase("Queued"))
        await paper.runs(key)
        await paper.admin.delete(GpuSite, "a")
        await until(lambda: phase("Running"))
        assert (await paper.admin.get(GpuSite, "a")).metadata.is_deleted
        await paper.ends(key, 0)
        await until(lambda: phase("Succeeded"))

        async def is_gone() -> bool:
            return not (await paper.admin.list(GpuSite)).items

        await until(is_gone)
        assert not (paper.line.home("a") / key).exists()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
