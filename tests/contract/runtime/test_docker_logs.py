"""Logs of a real Docker engine: bytes and lines as they were written, whatever comes between."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kubelet.runtime.docker import DockerRuntime
from kubelet.runtime.driver import Container, LogOptions
from tests.contract.runtime.worlds import (
    DockerWorld,
    a_container,
    a_sandbox,
    all_logs,
    ended,
    until,
)

pytestmark = [pytest.mark.docker, pytest.mark.root]

MANY = 60_000
PADDING = "p" * 180


async def running(docker: DockerWorld, driver: DockerRuntime, script: str) -> Container:
    box = await driver.start_sandbox(a_sandbox())
    spec = replace(a_container(docker, "forever"), command=("sh", "-c", script))
    return await driver.start_container(spec, box.id)


async def test_a_long_line_is_one_line_and_binary_bytes_are_what_they_were(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    script = "head -c 50000 /dev/zero | tr '\\0' x; echo; printf 'a\\377\\000\\200b\\n'; printf end"
    made = await running(docker, driver, script)
    await ended(driver, made.id)

    lines = [b"x" * 50_000, b"a\xff\x00\x80b", b"end"]
    assert (await written(driver, made)).endswith(b"\n".join(lines))
    assert await written(driver, made, tail_count=1) == lines[2]
    assert await written(driver, made, tail_count=3) == b"\n".join(lines)
    stamped = (await written(driver, made, tail_count=3, timestamps=True)).split(b"\n")
    assert [one.partition(b"Z ")[2] for one in stamped] == lines


async def written(
    driver: DockerRuntime,
    made: Container,
    *,
    tail_count: int | None = None,
    timestamps: bool = False,
    follow: bool = False,
) -> bytes:
    options = LogOptions(follow=follow, tail_count=tail_count, timestamps=timestamps)
    return await all_logs(driver, made.id, options)


async def test_who_follows_through_rotations_reads_each_line_once(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    """Each file takes 10 MB: the lines are 12 MB, so that one rotation lies within them."""
    loop = f"i=0; while [ $i -lt {MANY} ]; do echo $i {PADDING}; i=$((i+1)); done"
    made = await running(docker, driver, loop)
    async with asyncio.timeout(120):
        found = (await written(driver, made, follow=True)).splitlines()

    folder = folder_of(docker, made.id)
    assert (folder / "container.log.1").exists()
    assert [int(line.split()[0]) for line in found] == list(range(MANY))
    assert len((await written(driver, made)).splitlines()) == MANY
    last = (await written(driver, made, tail_count=MANY - 5)).splitlines()
    assert last == found[5:]


async def test_what_is_written_to_the_hosts_file_is_the_sandboxs_and_counts_once(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    box = await driver.start_sandbox(a_sandbox())
    script = "head -c 3000000 /dev/zero >> /etc/hosts; head -c 2000000 /dev/zero >> /etc/hostname"
    spec = replace(a_container(docker, "forever"), command=("sh", "-c", script))
    made = await driver.start_container(spec, box.id)
    await ended(driver, made.id)

    assert 5_000_000 <= await driver.disk_bytes(box.id) < 5_500_000
    assert await driver.disk_bytes(made.id) < 500_000


def folder_of(docker: DockerWorld, container_id: str) -> Path:
    return docker.engine.folder / "data/containers" / container_id / "local-logs"


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """Put a disk of that size at folder; yield what makes it larger."""
    folder.mkdir(mode=0o700, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o"]
    subprocess.run([*mount, f"size={size}", "small", str(folder)], check=True)

    def grow(larger: str) -> None:
        subprocess.run([*mount, f"remount,size={larger}", "small", str(folder)], check=True)

    try:
        yield grow
    finally:
        # The engine unmounts what lies in the folder of a container that it removes.
        subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


async def test_a_full_disk_costs_lines_and_not_the_log(
    docker: DockerWorld, driver: DockerRuntime
) -> None:
    box = await driver.start_sandbox(a_sandbox())
    script = (
        "trap 'go=1' USR1; i=0; while [ $i -lt 3000 ]; do echo early $i; i=$((i+1)); done; "
        "while [ -z $go ]; do sleep 0.1; done; i=0; "
        "while [ $i -lt 9 ]; do echo late $i; i=$((i+1)); done; exec sleep 1000"
    )
    spec = replace(a_container(docker, "forever"), command=("sh", "-c", script))
    container_id = await driver.make_container(spec, box.id)
    with small_disk(folder_of(docker, container_id), "64k") as grow:
        made = await driver.start_container(spec, box.id)
        assert made.id == container_id
        log_file = folder_of(docker, container_id) / "container.log"

        async def is_full() -> bool | None:
            return log_file.stat().st_size == 64 << 10 or None

        await until(is_full)
        early = await written(driver, made)
        following = asyncio.create_task(written(driver, made, follow=True))
        grow("1m")
        os.kill(made.pid, signal.SIGUSR1)

        async def is_late() -> bytes | None:
            found = await written(driver, made)
            return found if b"late 8\n" in found else None

        found = await until(is_late)
        assert found.startswith(early)
        kept = [int(line.split()[1]) for line in found.splitlines() if line.startswith(b"early")]
        assert kept[: early.count(b"\n")] == list(range(early.count(b"\n")))
        late = b"".join(b"late %d\n" % at for at in range(9))
        assert found.endswith(late)
        assert await written(driver, made, tail_count=9) == late
        await driver.stop(made.id, 0)
        async with asyncio.timeout(60):
            assert await following == found
        await driver.remove(made.id)
