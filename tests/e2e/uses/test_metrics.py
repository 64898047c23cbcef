"""Every program's metrics, as tools and stores of others find them, and ours."""

import json
import shutil
import sys
import urllib.parse

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from tests.counted import read
from tests.e2e.cluster import PKI, Cluster, until
from tests.e2e.conftest import HOUSE
from tests.e2e.pods import SLEEP, pod, shell, until_gone, until_phase

pytestmark = [pytest.mark.lab]

ON_N2 = {"kubernetes.io/hostname": "n2"}
EXAMPLE = HOUSE / "examples" / "tsdb" / "cluster.json"
PROGRAMS = {"scheduler", "controllers", "kubelet", "proxy", "resolver"}
EVERYWHERE = {"kubelet": 10255, "proxy": 10249}
CONTROL_PLANE = {"scheduler": 10259, "controllers": 10257}
# A program of a node that was started just now listens a moment later.
PATIENT = "curl --silent --fail --retry 20 --retry-connrefused --retry-delay 1"
PLACES = [
    *((node, program) for node in ("n1", "n2", "n3") for program in EVERYWHERE),
    *(("n1", program) for program in (*CONTROL_PLANE, "apiserver")),
]


async def metrics_of(cluster: Cluster, node: str, program: str) -> bytes:
    if program == "apiserver":
        admin = [f"--cacert /{PKI}/cluster-ca.crt", f"--cert /{PKI}/admin.crt"]
        words = " ".join([*admin, f"--key /{PKI}/admin.key https://127.0.0.1:6443/metrics"])
    else:
        words = f"http://127.0.0.1:{(EVERYWHERE | CONTROL_PLANE)[program]}/metrics"
    ended = await cluster.run(node, ["sh", "-c", f"{PATIENT} {words}"])
    return ended.stdout.encode()


@pytest.mark.parametrize(("node", "program"), PLACES)
async def test_promtool_finds_nothing_to_say_about_a_programs_metrics(
    cluster: Cluster, node: str, program: str
) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    text = await metrics_of(cluster, node, program)

    told = read(text)
    (built,) = [series for series in told if series.startswith("cube_build_info{")]
    assert f'program="{program}"' in built
    assert told["process_cpu_seconds_total"] > 0
    checked = await Env().commands.run(["promtool", "check", "metrics"], stdin=text)
    assert (checked.stdout, checked.stderr) == (b"", b"")


async def test_a_pods_life_is_counted_by_every_program_on_its_way(
    cluster: Cluster, client: Client
) -> None:
    series = (
        ("n1", "apiserver", 'cube_apiserver_request_seconds_count{code="201",resource="pods",'
         'verb="create"}'),
        ("n1", "scheduler", 'cube_scheduler_decisions_total{decision="placed"}'),
        ("n2", "kubelet", "cube_kubelet_pod_start_seconds_count"),
        ("n2", "kubelet", 'cube_kubelet_step_seconds_count{step="StartSandbox"}'),
    )  # fmt: skip

    async def told() -> list[float]:
        return [read(await metrics_of(cluster, *place)).get(name, 0) for *place, name in series]

    async def are_counted() -> bool:
        # A program counts when it has told of it: others may have heard of it before.
        return all(new > old for old, new in zip(before, await told(), strict=True))

    before = await told()
    await client.create(pod("counted", [shell(SLEEP)], namespace="default", nodeSelector=ON_N2))
    try:
        await until_phase(client, "counted", "Running", namespace="default")
        await until("every program on its way has counted it", are_counted)
    finally:
        await client.delete(Pod, "counted", "default")
        await until_gone(client, "counted", namespace="default")


async def test_our_store_follows_a_control_plane_by_the_settings_of_the_example(
    cluster: Cluster,
) -> None:
    folder = json.loads(EXAMPLE.read_text())["data_dir"]
    script = f"setsid {sys.executable} -m tsdb --settings {EXAMPLE} > /run/tsdb.log 2>&1 & echo $!"
    pid = (await cluster.run("n1", ["sh", "-c", script])).stdout.strip()
    try:
        answers = [""]

        async def are_up() -> bool:
            # Of the others some need a certificate, and some are pods that other tests made.
            query = urllib.parse.quote('up{job="programs"} == 1')
            url = f"http://127.0.0.1:9090/api/v1/query?query={query}"
            answers.append(await cluster.curl("n1", url))
            found = json.loads(answers[-1] or "{}").get("data", {}).get("result", [])
            return {one["metric"]["program"] for one in found} == PROGRAMS

        try:
            await until("all programs are scraped", are_up)
        except AssertionError as error:
            told = (await cluster.run("n1", ["tail", "-n", "20", "/run/tsdb.log"])).stdout
            raise AssertionError(f"{answers[-1]}\n{told}") from error
    finally:
        await cluster.run("n1", ["sh", "-c", f"kill {pid}; rm -rf {folder} /run/tsdb.log"])
