"""A running kubelet, in real time, while file systems under it do not answer."""

import asyncio
import dataclasses
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from apiserver.server import ApiServer
from apiserver.settings import Settings
from apiserver.storage.memory import MemoryStore
from cubernetes.api.coordination.lease import NODE_LEASE_NAMESPACE, Lease
from cubernetes.api.core.event import Event
from cubernetes.api.core.node import Node, is_ready
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.volumes.volume import EmptyDir, HostPath, Volume
from cubernetes.api.errors import NotFound
from cubernetes.api.meta import replaced
from cubernetes.client.connect import ClientSettings
from cubernetes.client.rest import Client
from cubernetes.host.blocking import Threads
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Identity
from kubelet.checkpoint import FileCheckpoint
from kubelet.node.capacity import MachineFacts
from kubelet.pod.volumes import DiskVolumes
from kubelet.run import Kubelet
from kubelet.settings import KubeletSettings
from tests.direct import DirectTransport
from tests.given import a_pod
from tests.simulation.machines import SimMachine, facts_of_any

pytestmark = pytest.mark.root

DEADLINE_S = 60.0  # for what must come true at all
STALL_S = 0.5  # what the kubelet gives a call into a volume
THAW_S = 150  # a disk that is frozen thaws by then, whatever becomes of the test


def mounted(*argv: str) -> None:
    subprocess.run(["mount", *argv], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, which may be frozen: then every write waits, and nothing ends the wait."""
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    mounted("-o", "loop", str(image), str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[Path]:
    """A file system whose server never answers."""
    folder = tmp_path / "hung"
    folder.mkdir()
    server = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
    argv = ["mount", "-i", "-t", "fuse", "-o", options, "hung", str(folder)]
    subprocess.run(argv, check=True, pass_fds=[server])
    yield folder
    os.close(server)  # aborts every call that waits
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Frozen:
    """A disk that takes no write for as long as the block lasts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        # Were the loop held up by a write, nothing in this process could thaw the disk again.
        thaw = f"import time, subprocess; time.sleep({THAW_S})\n"
        thaw += f"subprocess.run(['fsfreeze', '-u', {str(self._folder)!r}])"
        self._guard = subprocess.Popen([sys.executable, "-c", thaw], stderr=subprocess.DEVNULL)
        subprocess.run(["fsfreeze", "-f", str(self._folder)], check=True)

    def __exit__(self, *_: object) -> None:
        subprocess.run(["fsfreeze", "-u", str(self._folder)], check=True)
        self._guard.kill()
        self._guard.wait()


class Node1:
    """A kubelet whose files are real, on a fake runtime and network; its API, and who asks it."""

    def __init__(self, root: Path, facts: Callable[[str, str], MachineFacts]) -> None:
        self.env = Env(blocking=Threads())
        self._server = ApiServer(MemoryStore(self.env), self.env, Settings())
        self.admin = Client(DirectTransport(self._server), self.env)
        self._root, self._facts = root, facts
        self.machine = SimMachine("n1", 1, "stalls", 0.0)
        self.machine.runtime.images.add("cubernetes/web:1")

    async def begin(self) -> None:
        await self._server.start()
        client = Client(
            DirectTransport(self._server, Identity("system:node:n1", ("system:nodes",))), self.env
        )
        settings = KubeletSettings(
            node_name="n1",
            address=self.machine.address,
            client=ClientSettings(servers=("https://10.0.0.1:6443",), ca=""),
            lease_renew_s=0.2,
            relist_s=0.5,
        )
        drivers = self.machine.drivers(self.env)
        volumes = DiskVolumes(
            self._root / "volumes",
            self.env.commands,
            self.env.blocking,
            deadline_s=STALL_S,
        )
        machine = dataclasses.replace(
            drivers, volumes=volumes, checkpoint=FileCheckpoint(self._root), facts=self._facts
        )
        kubelet = Kubelet(settings, self.env, client, machine)
        self._running = asyncio.ensure_future(kubelet.run())
        await self.until(self._is_registered)
        await self.admin.patch(Node, "n1", "", {"spec": {"podCIDR": "10.244.1.0/24"}})
        await self.until(self._is_ready)

    async def end(self) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])
        self.machine.runtime.close()
        await self._server.stop()

    async def until(self, look: Callable[[], Awaitable[object]]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not await look():
                await self.env.clock.sleep(0.02)

    async def make(self, name: str, *volumes: Volume) -> None:
        pod = a_pod(name)
        spec = replaced(pod.spec, node_name="n1", volumes=volumes)
        meta = replaced(pod.metadata, uid="", resource_version="", creation_timestamp=None)
        await self.admin.create(replaced(pod, metadata=meta, spec=spec))

    async def until_runs(self, name: str) -> None:
        async def runs() -> bool:
            return (await self.admin.get(Pod, name, "default")).status.phase == "Running"

        await self.until(runs)

    async def until_gone(self, name: str) -> None:
        async def is_gone() -> bool:
            try:
                await self.admin.get(Pod, name, "default")
            except NotFound:
                return True
            return False

        await self.until(is_gone)

    async def until_told(self, name: str, *words: str) -> None:
        async def is_told() -> bool:
            events = (await self.admin.list(Event, "default")).items
            told = [one.message for one in events if one.involved_object.name == name]
            return any(all(word in message for word in words) for message in told)

        await self.until(is_told)

    async def until_renewed(self, count: int) -> None:
        """Wait until the Lease has been renewed so many times, and the node is still Ready."""
        seen = set()

        async def is_renewed() -> bool:
            lease = await self.admin.get(Lease, "n1", NODE_LEASE_NAMESPACE)
            seen.add(lease.spec.renew_time)
            return len(seen) > count

        await self.until(is_renewed)
        assert await self._is_ready()

    async def _is_registered(self) -> bool:
        return bool((await self.admin.list(Node)).items)

    async def _is_ready(self) -> bool:
        return is_ready(await self.admin.get(Node, "n1"))


@pytest.fixture
async def node(disk: Path) -> AsyncIterator[Node1]:
    one = Node1(disk, facts_of_any)
    await one.begin()
    yield one
    await one.end()


def an_empty_dir(name: str) -> Volume:
    return Volume(name=name, empty_dir=EmptyDir())


async def test_a_disk_that_takes_no_write_holds_up_no_lease_and_no_pod_without_a_volume(
    node: Node1, disk: Path
) -> None:
    await node.make("goes", an_empty_dir("data"))
    await node.until_runs("goes")
    with Frozen(disk):
        await node.make("plain")
        await node.until_runs("plain")
        await node.make("waits", an_empty_dir("cache"))
        await node.admin.delete(Pod, "goes", "default")
        await node.until_told("waits", "volume cache", f"no end after {STALL_S} s")
        await node.until_told("goes", "volumes not removed", "no end after")
        await node.make("another")
        await node.until_runs("another")
        await node.until_renewed(10)
    await node.until_gone("goes")
    await node.until_runs("waits")
    names = {one.metadata.name for one in FileCheckpoint(disk).load()}
    assert names == {"plain", "waits", "another"}


@pytest.mark.parametrize("kind", ["", "DirectoryOrCreate", "FileOrCreate", "Socket"])
async def test_a_host_path_that_does_not_answer_is_told_and_is_its_own_pods_alone(
    node: Node1, hung: Path, kind: str
) -> None:
    path = HostPath(path=str(hung / "data"), type=kind)  # type: ignore[arg-type]
    await node.make("stuck", Volume(name="theirs", host_path=path))
    await node.until_told("stuck", "volume theirs", str(hung), "no end after")

    await node.make("web", an_empty_dir("data"))
    await node.until_runs("web")
    await node.until_renewed(10)
    # Nothing of the pod waits for the path: what hangs is left where it is.
    await node.admin.delete(Pod, "stuck", "default")
    await node.until_gone("stuck")


async def test_facts_that_cannot_be_read_any_more_stay_as_they_were(
    disk: Path, tmp_path: Path
) -> None:
    source = tmp_path / "meminfo"
    source.touch()

    def facts(version: str, runtime_version: str) -> MachineFacts:
        source.read_text()
        return facts_of_any(version, runtime_version)

    one = Node1(disk, facts)
    await one.begin()
    try:
        # From now on whoever reads it waits for a writer who never comes.
        source.unlink()
        os.mkfifo(source)
        await one.until_renewed(15)
        await one.make("web", an_empty_dir("data"))
        await one.until_runs("web")
    finally:
        await one.end()
