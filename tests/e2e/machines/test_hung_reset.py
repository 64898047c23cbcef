"""`cuberoot reset` beside an engine that hangs: a sentence, the rest done, and an end later."""

import pytest

from cubernetes.client.rest import Client
from tests.e2e.cluster import CUBEROOT, Cluster, until
from tests.e2e.uses.test_serving import all_ready

pytestmark = [pytest.mark.lab]


async def test_a_reset_beside_a_hung_engine_says_so_does_the_rest_and_can_be_finished(
    cluster: Cluster, client: Client
) -> None:
    reset = [*CUBEROOT, "reset", "--yes"]
    pid = (await cluster.run("n2", ["cat", "/run/docker.pid"])).stdout.strip()
    await cluster.run("n2", ["kill", "-STOP", pid])
    try:
        ended = await cluster.run("n2", reset, check=False, deadline_s=200)
    finally:
        await cluster.run("n2", ["kill", "-CONT", pid])
    assert ended.code == 1
    assert "kubelet: containers: " in ended.stderr
    assert "cuberoot reset can finish" in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    links = (await cluster.run("n2", ["ip", "-brief", "link"])).stdout
    assert "cube" not in links
    rules = (await cluster.run("n2", ["iptables-save"])).stdout
    assert "CUBE" not in rules

    assert (await cluster.run("n2", reset, deadline_s=200)).code == 0
    assert not (await cluster.run("n2", ["docker", "ps", "-q"])).stdout
    await cluster.join("n2", await cluster.new_token())
    await until("every node is ready", lambda: all_ready(cluster, client))
