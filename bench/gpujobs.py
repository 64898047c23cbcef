"""GPU jobs at a real Slurm of this machine: `sudo python -m bench.gpujobs`.

A real API server and etcd, the program of GPU jobs as a process, sshd, and Slurm with fake devices,
all on loopback. How long a job takes from its creation until it is known to be there; how late its
output comes to a client; what the program holds and uses while many jobs wait. With --lab instead:
how long a job on our own nodes takes until it runs, at a CPU that stands in, on a lab of three.
"""

import argparse
import asyncio
import base64
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench.ground.labcluster import cluster_up
from bench.ground.processes import cpu_s, memory
from bench.ground.report import ROOT, percentiles, progress, show
from bench.ground.serving import LOOPBACK, Served, free_ports, serving, write_kubeconfig, write_pair
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.secret import Secret
from cubernetes.api.gpu.gpujob import GpuJob, GpuJobSpec
from cubernetes.api.gpu.gpusite import GpuSite, GpuSiteSpec, StandIn
from cubernetes.api.gpu.slurm import KEY_FIELD, KEYS_NAMESPACE, Slurm
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.client.connect import ClientSettings, connect
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.settings import settings_bytes
from cuberoot.pki import Signed, new_cert
from cuberoot.program import Machine
from cuberoot.programs import gpu as program
from gpu.settings import GpuSettings
from lab.archive import archives_in
from tests.contract.gpu.realslurm import RealSlurm, why_not
from tests.e2e.cluster import CUBEROOT

SITE_FILE = ROOT / "gpu" / "sites" / "slurm" / "cubesite.py"
SITE = "hpc"
SENT, WAITING = ("Queued", "Running", "Succeeded"), 1000
# Each word of a job's output is the time at which it was written.
WORDS = "for i in $(seq 40); do date +%s.%N; sleep 0.2; done"
LOOK_S, SETTLE_S, SPAN_S, DEADLINE_S = 0.005, 20.0, 30.0, 120.0


@contextmanager
def gpu_program(served: Served) -> Iterator[Path]:
    """Run the program as cuberoot would; yield its /proc folder."""
    folder = Path(served.folder)
    with ExitStack() as stack:
        argv = [sys.executable, "-m", "gpu", "--settings", str(folder / "gpu.json")]
        said = stack.enter_context((folder / "gpu.log").open("ab"))
        process = subprocess.Popen(argv, cwd=ROOT, stdout=said, stderr=said)
        stack.callback(process.wait, DEADLINE_S)
        stack.callback(process.terminate)
        yield Path("/proc") / str(process.pid)


def write_settings(folder: Path, api_port: int, output_port: int) -> None:
    """Write the program's settings and certificates."""
    ca = Signed((folder / "ca.crt").read_bytes(), (folder / "ca.key").read_bytes())
    for one in program.PROGRAM.certificates:
        machine = Machine("bench", (), (LOOPBACK,), "10.96.0.0/16", "cluster.local")
        write_pair(folder, one.name, new_cert(one.identity(machine), ca, datetime.now(UTC)))
    told = GpuSettings(
        client=client_settings(folder, api_port, "gpu"),
        output_port=output_port,
        cert=str(folder / "gpu-serving.crt"),
        key=str(folder / "gpu-serving.key"),
        client_ca=str(folder / "ca.crt"),
    )
    (folder / "gpu.json").write_bytes(settings_bytes(told))


def client_settings(folder: Path, port: int, name: str) -> ClientSettings:
    return ClientSettings(
        servers=(f"https://{LOOPBACK}:{port}",),
        ca=str(folder / "ca.crt"),
        cert=str(folder / f"{name}.crt"),
        key=str(folder / f"{name}.key"),
    )


async def a_site(client: Client, slurm: RealSlurm) -> None:
    """Let a key of the site's own in at sshd, and make the site."""
    key = slurm.root / "key"
    slurm.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    command = f"{sys.executable} {SITE_FILE} {slurm.root}/home"
    public = key.with_suffix(".pub").read_text()
    (slurm.root / "authorized_keys").write_text(f'restrict,command="{command}" {public}')
    await client.create(Namespace(metadata=ObjectMeta(name=KEYS_NAMESPACE)))
    meta = ObjectMeta(name=SITE, namespace=KEYS_NAMESPACE)
    data = {KEY_FIELD: base64.b64encode(key.read_bytes()).decode()}
    await client.create(Secret(metadata=meta, data=data))
    told = Slurm(
        host=slurm.address, port=slurm.port, user="root", key_secret=SITE, partition="gpu",
        host_keys=(slurm.host_key,),
    )  # fmt: skip
    site = GpuSiteSpec(type="slurm", slurm=told)
    await client.create(GpuSite(metadata=ObjectMeta(name=SITE), spec=site))


def a_job(name: str, script: str = "true") -> GpuJob:
    spec = GpuJobSpec(script=script, allow_stand_in=True, time_limit_seconds=60)
    return GpuJob(metadata=ObjectMeta(name=name, namespace="default"), spec=spec)


async def until_phase(client: Client, name: str, phases: Sequence[str]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            status = (await client.get(GpuJob, name, "default")).status
            if status.phase in phases:
                return
            assert status.phase != "Failed", status.message
            await asyncio.sleep(LOOK_S)


async def spent_ms(client: Client, count: int, phases: Sequence[str]) -> list[float]:
    """Return how long each of several jobs took to a phase, one after the other."""
    taken = []
    for index in range(count):
        begun = time.perf_counter()
        await client.create(a_job(f"job-{index}", "sleep 1\n"))
        await until_phase(client, f"job-{index}", phases)
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


async def lags_ms(client: Client, access: Sequence[str]) -> list[float]:
    """Return how late each word of a job's output came out of cubectl."""
    await client.create(a_job("words", WORDS))
    await until_phase(client, "words", ("Running",))
    argv = [sys.executable, "-m", "cubectl", *access, "logs", "gpujob/words", "-f"]
    reader = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, stdout=subprocess.PIPE)
    assert reader.stdout is not None
    lags, begun = [], time.time()
    while line := await reader.stdout.readline():
        written = float(line)
        # What was there before the reader came is not late.
        if written > begun + 1:
            lags.append((time.time() - written) * 1000)
    await reader.wait()
    return lags


async def waiting_costs(client: Client, process: Path) -> dict[str, float]:
    """Return what the program holds and uses while many jobs wait, and none moves."""
    for one in (await client.list(GpuSite)).items:
        # Nothing begins or ends meanwhile: there is room for two, which outlast the bench.
        await client.update(replaced(one, spec=replaced(one.spec, max_jobs=2)))
    before = memory(process).pss_bytes
    for index in range(WAITING):
        await client.create(a_job(f"waits-{index}", "sleep 300\n"))
    await asyncio.sleep(SETTLE_S)
    begun_s = cpu_s(process)
    await asyncio.sleep(SPAN_S)
    held = memory(process)
    return {
        "pss_mib": round(held.pss_bytes / 2**20, 1),
        "grown_by_mib": round((held.pss_bytes - before) / 2**20, 1),
        "cpu_percent": round((cpu_s(process) - begun_s) / SPAN_S * 100, 2),
    }


async def slurm_figures(job_count: int) -> dict[str, object]:
    (output_port,) = free_ports(1)
    with ExitStack() as stack:
        slurm = RealSlurm()
        stack.callback(slurm.stop)
        slurm.start()
        served = stack.enter_context(serving(0, output_port))
        folder = Path(served.folder)
        write_settings(folder, served.port, output_port)
        process = stack.enter_context(gpu_program(served))
        client = connect(client_settings(folder, served.port, "admin"), Env(), "bench")
        try:
            await a_site(client, slurm)
            progress("one job after another")
            queued = await spent_ms(client, job_count, SENT)
            progress("output as it comes")
            lags = await lags_ms(client, ["--kubeconfig", str(write_kubeconfig(folder, served))])
            progress(f"{WAITING} jobs wait")
            costs = await waiting_costs(client, process)
        finally:
            await client.close()
    return {
        "created until queued at Slurm, ms": percentiles(queued),
        "written until read by cubectl, ms": percentiles(lags),
        f"the program with {WAITING} jobs": costs,
    }


async def lab_figures(job_count: int) -> dict[str, object]:
    async with cluster_up() as cluster:
        for name in cluster.names:
            await cluster.lab.node(name).load(archives_in(ROOT / "var" / "images" / "apart"))
        await cluster.run("n1", [*CUBEROOT, "enable", "gpu"], deadline_s=DEADLINE_S)
        async with cluster.client() as client:
            spec = GpuSiteSpec(type="standin", stand_in=StandIn(gpus=2))
            await client.create(GpuSite(metadata=ObjectMeta(name="x"), spec=spec))
            running = await spent_ms(client, job_count, ("Running", "Succeeded"))
    return {"created until running on a node of ours, ms": percentiles(running)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.gpujobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--lab", action="store_true", help="on our own nodes instead of Slurm")
    told = parser.parse_args()
    if not told.lab and (why := why_not()):
        sys.exit(f"bench.gpujobs: {why}")
    figures = asyncio.run((lab_figures if told.lab else slurm_figures)(told.jobs))
    show("gpujobs", {"jobs": told.jobs, "waiting": WAITING, "lab": told.lab}, figures)


if __name__ == "__main__":
    main()
