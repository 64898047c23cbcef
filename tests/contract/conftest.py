"""What several contract suites need: engines that are dear to start, once for all tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from apiserver.storage.memory import MemoryStore
from apiserver.storage.store import Store
from cubernetes.host.env import Env
from cubernetes.host.packetfilter.iptables import LEGACY, NFT, Tools
from kubelet.runtime.docker import DockerRuntime
from tests.contract.functions import brokers
from tests.contract.network.wires import Wires
from tests.contract.runtime.private_docker import PrivateDocker, reason_to_skip
from tests.contract.runtime.worlds import DockerWorld, FakeWorld, World, remove_all
from tests.contract.store.stores import EtcdServer, etcd_running, etcd_store

REAL_RUNTIME = (pytest.mark.docker, pytest.mark.root)
STORES = ["memory", pytest.param("etcd", marks=pytest.mark.etcd)]


@pytest.fixture(scope="session")
def engine() -> Iterator[PrivateDocker]:
    if reason := reason_to_skip():
        pytest.skip(f"no private Docker engine: {reason}")
    docker = PrivateDocker()
    try:
        docker.start()
        docker.add_image("busybox:1")
        docker.add_image("pause:1", 'CMD ["sleep", "100000"]')
        yield docker
    finally:
        docker.remove()


@pytest.fixture
async def docker(engine: PrivateDocker) -> AsyncIterator[DockerWorld]:
    """The engine, without whatever a test has left in it."""
    real = DockerWorld(engine)
    yield real
    await remove_all(real)


@pytest.fixture(params=["fake", pytest.param("docker", marks=REAL_RUNTIME)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A runtime's world: of the fake, and of a real Docker."""
    if request.param == "fake":
        fake = FakeWorld()
        yield fake
        fake.machine.close()
        return
    real = DockerWorld(request.getfixturevalue("engine"))
    yield real
    await remove_all(real)


@pytest.fixture
async def driver(docker: DockerWorld) -> AsyncIterator[DockerRuntime]:
    made = docker.driver()
    yield made
    await made.close()


@pytest.fixture(params=[NFT, LEGACY], ids=["nft", "legacy"])
def tools(request: pytest.FixtureRequest) -> Tools:
    """Each kind of iptables in turn."""
    chosen: Tools = request.param
    return chosen


@pytest.fixture
def wires() -> Iterator[Wires]:
    made = Wires()
    try:
        made.build()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdServer]:
    with etcd_running() as server:
        yield server


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Each store there is, empty but for the keys of the module's other tests."""
    if request.param == "etcd":
        async with etcd_store(request.getfixturevalue("etcd").address) as found:
            yield found
    else:
        memory = MemoryStore(Env(), progress_interval_s=0.5)
        yield memory
        await memory.close()


@pytest.fixture
def at(request: pytest.FixtureRequest) -> str:
    """A prefix of this test's own: the tests of a module share one etcd."""
    return f"/{request.node.name}/"


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Broker]:
    """A real broker of Kafka's, which answers."""
    if reason := brokers.reason_to_skip():
        pytest.skip(f"no broker: {reason}")
    made = brokers.Broker(tmp_path_factory.mktemp("broker"))
    try:
        made.begin()
        made.await_answer()
        yield made
    finally:
        made.kill()
