"""Real machines for the end-to-end tests, and who shares them.

A file's tests run one after another in one process; files run side by side. A process makes one
cluster of three nodes, which all of its files share that need one: they mend what they break. A
file that makes and unmakes clusters has node hosts of its own.
"""

import asyncio
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from lab.doctor import complaints
from lab.lab import Lab
from lab.state import InitKind, Size, lab_names
from tests.e2e.cluster import Cluster

HOUSE = Path(__file__).resolve().parents[2]
IMAGE_BUILDERS = {"gcc": "gcc libc6-dev", "busybox": "busybox-static"}
BUILD_DEADLINE_S = 300
# Images of the gateway and of functions.
OF_SHARED_CLUSTER = ("gateway", "python-runtime")
# A lab that is up already, with or without a cluster, for whoever writes a test.
ATTACHED = os.environ.get("CUBE_E2E_LAB", "")
# A test's limit, where its file names none: the first one of a process brings up the cluster too.
TEST_DEADLINE_S = 400
NODE_SIZE = Size(memory_bytes=3 << 30, disk_bytes=8 << 30)
# The lab of the cluster that the files of a process share.
SHARED_KIND = "e2e"
# A lab of a test's: its kind, and the pid of the process that has it.
TEST_LAB = re.compile(r"(?:cni|e2e|end|img|mem|old|own|prg|ren|sd|tsd)(\d{5,7})")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        is_ours = Path(__file__).parent in item.path.parents
        if is_ours and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_DEADLINE_S))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Take down the labs of processes that ended before they could, as at an interrupt.

    The process that collects what the others report ends last.
    """
    if hasattr(session.config, "workerinput"):
        return
    for name in lab_names():
        form = TEST_LAB.fullmatch(name)
        if form and not Path(f"/proc/{int(form[1])}").exists():
            finished(Lab.open(name).down())


def finished[T](work: Coroutine[None, None, T]) -> T:
    """Run work to its end in a loop of its own: a lab outlives the loop of any single test."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


@pytest.fixture(scope="session")
def lab_images() -> Path:
    """The images, built now where they are not up to date; a skip where that cannot be."""
    missing = [f"{each.what} ({each.remedy})" for each in finished(complaints(Env().commands))]
    missing += [
        f"no program {name} (apt-get install {package})"
        for name, package in IMAGE_BUILDERS.items()
        if shutil.which(name) is None
    ]
    if missing:
        pytest.skip(f"this machine cannot hold a lab: {'; '.join(missing)}")
    builder = str(HOUSE / "scripts" / "build-images")
    with Path(__file__).open() as handle:
        # One process builds; the others find the images up to date.
        fcntl.flock(handle, fcntl.LOCK_EX)
        subprocess.run([builder], check=True, capture_output=True, timeout=BUILD_DEADLINE_S)
    return HOUSE / "var" / "images"


@pytest.fixture(scope="session")
def small_images(lab_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images without those that only the shared cluster runs, which are nine tenths of them.

    Each node unpacks whatever its lab is given.
    """
    folder = tmp_path_factory.mktemp("images")
    for archive in lab_images.glob("*.tar"):
        if archive.stem not in OF_SHARED_CLUSTER:
            (folder / archive.name).symlink_to(archive)
    return folder


def lab_name(kind: str) -> str:
    """Return the name of this process's lab of a kind: another process never has the same."""
    name = f"{kind}{os.getpid():05d}"
    assert TEST_LAB.fullmatch(name), f"name {kind} in TEST_LAB, so that its leftovers are removed"
    return name


class BootLab(Protocol):
    """Boots a lab of a kind, by size and PID 1, for the length of a `with` block."""

    def __call__(
        self, kind: str, node_count: int, init: InitKind = "own"
    ) -> AbstractContextManager[Lab]: ...


@pytest.fixture(scope="session")
def boot_lab(lab_images: Path, small_images: Path) -> BootLab:
    @contextmanager
    def booted(kind: str, node_count: int, init: InitKind = "own") -> Iterator[Lab]:
        name = lab_name(kind)
        images = lab_images if kind == SHARED_KIND else small_images
        try:
            up = Lab.up(name, node_count=node_count, size=NODE_SIZE, images=images, init=init)
            yield finished(up)
        finally:
            # Also after a failed start, which leaves half a lab, unless it failed before that.
            if name in lab_names():
                finished(Lab.open(name).down())

    return booted


@pytest.fixture(scope="session")
def lab(boot_lab: BootLab) -> Iterator[Lab]:
    """Three node hosts of this process alone, for the tests of the product.

    Tests mend what they break: the lab is one for all tests of the process.
    """
    if ATTACHED:
        yield Lab.open(ATTACHED)
        return
    with boot_lab(SHARED_KIND, 3) as booted:
        yield booted


@pytest.fixture(scope="session")
def cluster(lab: Lab) -> Cluster:
    """A cluster of three nodes, made by init and join; one for all tests of the process."""
    made = Cluster(lab)
    if not (ATTACHED and made.is_made()):
        finished(made.make())
    for node in made.names:
        # A pressure is over once there is room: no test is to wait five minutes for it.
        text = '{"evictionPressureTransitionPeriod": "0s"}'
        file = "/etc/cubernetes/eviction.json"
        finished(made.run(node, ["sh", "-c", f"umask 077; echo '{text}' > {file}"]))
    return made


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    """An administrator's client of the cluster."""
    async with cluster.client() as one:
        yield one


@pytest.fixture
def kubeconfig(cluster: Cluster, tmp_path: Path) -> Path:
    """The administrator's kubeconfig, as scripts/up copies it to this machine."""
    path = tmp_path / "admin.conf"
    path.touch(mode=0o600)
    path.write_bytes((cluster.lab.node("n1").root / "etc/cubernetes/admin.conf").read_bytes())
    return path
