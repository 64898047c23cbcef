"""Optional programs: enabled and disabled on a real node, killed, refused, and gone after reset."""

import json
import urllib.parse
from collections.abc import Iterator, Mapping

import pytest

from cubernetes.host.env import Env
from lab.doctor import complaints
from tests.e2e.cluster import CUBEROOT, Cluster, until
from tests.e2e.conftest import BootLab, finished
from tests.e2e.machines.test_membership import Traces, asked, difference, refusal, traces
from tests.e2e.machines.test_systemd import Units

pytestmark = [pytest.mark.lab]

# The programs that have metrics, and what the kubelet tells of pods.
PLANE = 7
QUERY = "http://127.0.0.1:9090/api/v1/query?query="
FILES = (
    "etc/cubernetes/settings/tsdb.json",
    "etc/cubernetes/pki/tsdb.crt",
    "etc/cubernetes/pki/tsdb.key",
    "etc/systemd/system/cube-tsdb.service",
    "etc/systemd/system/multi-user.target.wants/cube-tsdb.service",
)


@pytest.fixture(scope="module", params=["own", "systemd"])
def machines(boot_lab: BootLab, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One machine that belongs to no cluster, with a supervisord and with systemd."""
    if request.param == "systemd":
        missing = [str(one) for one in finished(complaints(Env().commands, "systemd"))]
        if missing:
            pytest.skip(f"this machine cannot hold a lab with systemd: {'; '.join(missing)}")
    with boot_lab("prg", 1, init=request.param) as lab:
        yield Units(lab) if request.param == "systemd" else Cluster(lab)


@pytest.fixture(scope="module")
def before(machines: Cluster) -> Traces:
    return finished(traces(machines, "n1"))


@pytest.fixture(scope="module")
def made(machines: Cluster, before: Mapping[str, list[str]]) -> Cluster:
    """A control plane whose manifest asks for no optional program."""
    finished(machines.make())
    return machines


async def value_of(cluster: Cluster, query: str) -> str:
    """Return the value of the only series that a query finds; empty where there is none."""
    answer = await cluster.curl("n1", QUERY + urllib.parse.quote(query))
    found = json.loads(answer or "{}").get("data", {}).get("result", [])
    return str(found[0]["value"][1]) if found else ""


async def until_all_are_followed(cluster: Cluster) -> None:
    async def are_up() -> bool:
        return await value_of(cluster, "sum(up)") == str(PLANE)

    await until("all programs are scraped", are_up)


def there(cluster: Cluster) -> set[str]:
    root = cluster.lab.node("n1").root
    return {path for path in FILES if (root / path).exists()}


async def shown(cluster: Cluster) -> list[str]:
    ended = await asked(cluster, "n1", "status")
    assert ended.code == 0, ended.stderr
    return [line.strip() for line in ended.stdout.splitlines()]


async def test_what_is_no_optional_program_is_refused_with_the_names_that_are(
    made: Cluster,
) -> None:
    for verb in ("enable", "disable"):
        for name in ("tsbd", "etcd"):
            told = refusal(await asked(made, "n1", verb, name))
            assert told == (
                f"cuberoot: {name!r} is no optional program of a control-plane: "
                "there are gateway, kafka, serverless, gpu, tsdb"
            )
    assert f"{'tsdb':<12} disabled" in await shown(made)


async def test_a_port_of_somebody_else_is_told_and_nothing_is_changed(made: Cluster) -> None:
    listen = "import socket,time; s=socket.create_server(('127.0.0.1', 9090)); time.sleep(600)"
    script = f'setsid python3 -c "{listen}" > /dev/null 2>&1 & echo $!'
    pid = (await made.run("n1", ["sh", "-c", script])).stdout.strip()

    async def listens() -> bool:
        ended = await made.run("n1", ["sh", "-c", "ss -ltn | grep -q 127.0.0.1:9090"], check=False)
        return ended.code == 0

    try:
        await until("somebody listens", listens)
        assert "port 9090 is in use" in refusal(await asked(made, "n1", "enable", "tsdb"))
    finally:
        await made.run("n1", ["kill", pid])
    assert there(made) == set()
    assert f"{'tsdb':<12} disabled" in await shown(made)


async def test_an_enabled_store_follows_the_cluster_and_enabling_twice_changes_nothing(
    made: Cluster,
) -> None:
    assert (await asked(made, "n1", "enable", "tsdb")).code == 0
    assert f"{'tsdb':<12} running" in await shown(made)
    await until_all_are_followed(made)

    files, pids = there(made), [await made.pid_of("n1", one) for one in ("tsdb", "kubelet")]
    again = await asked(made, "n1", "enable", "tsdb")
    assert again.code == 0, again.stderr
    assert again.stdout.splitlines()[-1] == "tsdb is enabled"
    assert there(made) == files
    assert [await made.pid_of("n1", one) for one in ("tsdb", "kubelet")] == pids


async def test_a_killed_store_is_started_again_and_what_it_had_is_there(made: Cluster) -> None:
    await until_all_are_followed(made)
    old = await made.pid_of("n1", "tsdb")
    await made.kill("n1", "tsdb")

    async def is_back() -> bool:
        return await made.pid_of("n1", "tsdb") not in (0, old)

    await until("tsdb again", is_back)
    await until_all_are_followed(made)


async def test_a_stop_and_a_start_keep_it_enabled(made: Cluster) -> None:
    for verb in ("stop", "start"):
        ended = await asked(made, "n1", verb)
        assert ended.code == 0, ended.stderr
    assert f"{'tsdb':<12} running" in await shown(made)


async def test_disabling_removes_it_and_enabling_again_finds_what_it_had(made: Cluster) -> None:
    await until_all_are_followed(made)
    for _ in range(2):
        ended = await asked(made, "n1", "disable", "tsdb")
        assert ended.code == 0, ended.stderr
        assert f"{'tsdb':<12} disabled" in await shown(made)
        assert there(made) == set()
        assert not await made.curl("n1", "http://127.0.0.1:9090/-/ready")

    assert (await asked(made, "n1", "enable", "tsdb")).code == 0

    async def is_kept() -> bool:
        found = await value_of(made, "sum(max_over_time(up[10m]))")
        return bool(found) and float(found) == PLANE

    await until("what it had is there", is_kept)


async def test_reset_takes_an_enabled_program_away_with_all_that_it_stored(
    made: Cluster, before: Traces
) -> None:
    """The last test of this module: it ends the cluster."""
    ended = await asked(made, "n1", "reset", "--yes")
    assert ended.code == 0, ended.stderr
    assert difference(before, await traces(made, "n1")) == []


async def test_a_manifest_enables_it_from_the_beginning_and_a_worker_refuses_it(
    machines: Cluster, before: Traces
) -> None:
    text = """
apiVersion: v1
kind: Node
metadata: {name: n1, annotations: {cubernetes.io/programs: tsdb}}
"""
    path = "/root/e2e-node.yaml"
    await machines.run("n1", ["sh", "-c", f"cat > {path} <<'END'\n{text}\nEND"])
    join = ["join", "192.0.2.1", "--token", "a.b", "--ca-hash", "sha256:" + "0" * 64, "-f", path]
    told = refusal(await asked(machines, "n1", *join))
    assert "metadata.annotations[cubernetes.io/programs]" in told
    assert "'tsdb' is no optional program of a worker: there are gateway" in told

    await machines.run("n1", [*CUBEROOT, "init", "-f", path], deadline_s=120)
    assert f"{'tsdb':<12} running" in await shown(machines)
    ended = await asked(machines, "n1", "reset", "--yes")
    assert ended.code == 0, ended.stderr
    await machines.run("n1", ["rm", path])
    assert difference(before, await traces(machines, "n1")) == []
