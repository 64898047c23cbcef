"""As whom containers run and what they may do, as the kernel says of a real engine's processes."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from kubelet.runtime.docker import DockerRuntime
from kubelet.runtime.driver import Container, ExecSpec, RuntimeTrouble, Security
from tests.contract.runtime.worlds import DockerWorld, a_container, a_sandbox

pytestmark = [pytest.mark.docker, pytest.mark.root]

NET_ADMIN, NET_RAW, CHOWN = 12, 13, 0  # bits of capabilities in the kernel's sets

LAST = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
OWN = next(
    line.split()[1]
    for line in Path("/proc/self/status").read_text().splitlines()
    if line.startswith("CapBnd")
)
IS_WHOLE = int(OWN, 16) == (1 << LAST + 1) - 1

# What a container is called before it runs its own program.
RUNC = "runc"
DEADLINE_S = 20.0


async def started(
    docker: DockerWorld, driver: DockerRuntime, name: str, security: Security
) -> Container:
    sandbox = await driver.start_sandbox(a_sandbox())
    spec = replace(a_container(docker, "forever"), name=name, security=security)
    return await driver.start_container(spec, sandbox.id)


async def status_of(one: Container) -> dict[str, str]:
    """Return what the kernel says of a container's first process, once it is the container's own.

    The engine calls it started a moment before it is: until then it is runc's, with runc's might.
    """
    async with asyncio.timeout(DEADLINE_S):
        while True:
            lines = Path(f"/proc/{one.pid}/status").read_text().splitlines()
            told = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
            if not told["Name"].startswith(RUNC):
                return told
            await asyncio.sleep(0.01)


def has(status: dict[str, str], capability: int, of: str = "CapBnd") -> bool:
    return bool(int(status[of], 16) >> capability & 1)


async def test_a_container_runs_as_whom_its_pod_says(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    security = Security(user="1000:3000", groups=(4000, 2000))
    found = await status_of(await started(docker, driver, "main", security))
    assert found["Uid"].split() == ["1000"] * 4
    assert found["Gid"].split() == ["3000"] * 4
    assert {"2000", "4000"} <= set(found["Groups"].split())
    # Nothing of root's might is left to a user that is not root.
    assert int(found["CapEff"], 16) == 0

    root = await status_of(await started(docker, driver, "root", Security()))
    assert root["Uid"].split()[0] == "0"
    assert await driver.image_user(docker.image("forever")) == ""
    with pytest.raises(RuntimeTrouble, match="is not on this node"):
        await driver.image_user("nowhere/missing:1")


async def test_rights_are_what_the_kernel_says_of_the_process(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    plain = await status_of(await started(docker, driver, "plain", Security()))
    assert (plain["NoNewPrivs"], plain["Seccomp"]) == ("1", "2")
    assert has(plain, CHOWN)
    assert not has(plain, NET_RAW)
    assert not has(plain, NET_ADMIN)

    none = Security(capabilities_dropped=("ALL",), capabilities_added=("NET_ADMIN",))
    bare = await status_of(await started(docker, driver, "bare", none))
    assert int(bare["CapBnd"], 16) == 1 << NET_ADMIN

    free = Security(may_gain=True, is_unconfined=True, capabilities_added=("NET_RAW",))
    found = await status_of(await started(docker, driver, "free", free))
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "0")
    assert has(found, NET_RAW)

    fixed = await started(docker, driver, "fixed", Security(is_root_read_only=True))
    assert await exit_code(driver, fixed, ": > /x") != 0
    usual = await started(docker, driver, "usual", Security())
    assert await exit_code(driver, usual, ": > /x") == 0


@pytest.mark.skipif(not IS_WHOLE, reason="this machine's root lacks rights that it could give")
async def test_a_privileged_container_may_what_root_of_the_node_may(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    mighty = Security(is_privileged=True, may_gain=True)
    found = await status_of(await started(docker, driver, "mighty", mighty))
    assert has(found, NET_ADMIN)
    assert has(found, NET_RAW)
    assert found["Seccomp"] == "0"


async def test_settings_of_the_kernel_are_the_pods_own(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    own = Path("/proc/sys/net/ipv4/tcp_fin_timeout").read_text()
    box = replace(a_sandbox(), sysctls={"net.ipv4.tcp_fin_timeout": "7"})
    sandbox = await driver.start_sandbox(box)
    made = await driver.start_container(a_container(docker, "forever"), sandbox.id)
    name = "/proc/sys/net/ipv4/tcp_fin_timeout"
    assert await exit_code(driver, made, f"read v < {name}; [ $v = 7 ]") == 0
    assert Path(name).read_text() == own


async def exit_code(driver: DockerRuntime, one: Container, script: str) -> int:
    running = await driver.exec(one.id, ExecSpec(("sh", "-c", script)))
    try:
        while await running.read() is not None:
            continue
        return await running.exit_code()
    finally:
        await running.end()


async def test_a_profile_of_our_own_refuses_the_calls_that_it_names(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    refused = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    profile = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refused]})
    one = await started(docker, driver, "own", Security(seccomp=profile))
    assert (await status_of(one))["Seccomp"] == "2"
    assert await exit_code(driver, one, "mkdir /new") != 0
    assert await exit_code(driver, one, ": > /new") == 0
