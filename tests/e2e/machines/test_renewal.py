"""Certificates are renewed while all is served, and given again to who broke its own."""

import base64
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from cubernetes.api.core.node import Node
from cubernetes.client.rest import Client
from tests.e2e.cluster import JOIN_WORDS, PKI, Cluster, ready_nodes, ready_pods, steady_calls, until
from tests.e2e.conftest import BootLab, finished
from tests.e2e.machines.test_membership import asked, invitation, refusal
from tests.e2e.uses.test_serving import containers_of, created, removed

pytestmark = [pytest.mark.lab]

AUTHORITIES = {"cluster-ca", "etcd-ca", "front-ca", "service-accounts"}
CERTIFICATES = {
    "n1": {
        "etcd", "apiserver-etcd", "apiserver", "apiserver-kubelet", "scheduler", "controllers",
        "admin", "monitoring", "kubelet", "kubelet-serving", "proxy", "resolver",
    },
    "n2": {"kubelet", "kubelet-serving", "proxy", "resolver"},
}  # fmt: skip


@pytest.fixture(scope="module")
def made(boot_lab: BootLab) -> Iterator[Cluster]:
    """A control plane and a worker of this module alone: it restarts and breaks them."""
    with boot_lab("ren", 2) as lab:
        cluster = Cluster(lab)
        finished(cluster.make())
        yield cluster


@pytest.fixture
async def client(made: Cluster) -> AsyncIterator[Client]:
    async with made.client() as one:
        yield one


@pytest.fixture
async def served(made: Cluster, client: Client) -> AsyncIterator[str]:
    """The URL of a service with a pod on each node."""
    url = f"http://{await created(client, 'web', 2)}/"
    for node in made.names:

        async def is_live(node: str = node) -> str:
            return await made.curl(node, url)

        await until(f"the service answers on {node}", is_live)
    yield url
    # Another client: the certificate of the first may have been renewed meanwhile.
    async with made.client() as renewed:
        await removed(renewed, "web")


def certificates(cluster: Cluster, node: str) -> Mapping[str, x509.Certificate]:
    """Return every certificate that is on a node, by its name."""
    found = (cluster.lab.node(node).root / PKI).glob("*.crt")
    return {one.stem: x509.load_pem_x509_certificate(one.read_bytes()) for one in found}


async def broken(cluster: Cluster, node: str, name: str) -> None:
    """Give a certificate a key of another, as a run leaves it that is cut between the two."""
    folder = f"/{PKI}"
    other = "kubelet-serving" if name != "kubelet-serving" else "proxy"
    await cluster.run(node, ["cp", f"{folder}/{other}.key", f"{folder}/{name}.key"])


async def test_renewed_certificates_are_all_new_and_nobody_notices(
    made: Cluster, client: Client, served: str
) -> None:
    containers = await containers_of(made)
    before = {node: certificates(made, node) for node in made.names}
    async with steady_calls(made, "n2", served) as calls:
        for node in ("n1", "n2"):
            ended = await asked(made, node, "renew")
            assert ended.code == 0, ended.stderr
            assert "certificates end 20" in ended.stdout

    for node in made.names:
        after = certificates(made, node)
        assert set(after) - AUTHORITIES == CERTIFICATES[node]
        for name, cert in after.items():
            is_same = cert.serial_number == before[node][name].serial_number
            assert is_same == (name in AUTHORITIES), (node, name)
            assert cert.not_valid_after_utc >= before[node][name].not_valid_after_utc
    assert calls.failed_count == 0
    assert await containers_of(made) == containers
    root = made.lab.node("n1").root
    config = (root / "etc/cubernetes/admin.conf").read_text()
    assert base64.b64encode((root / PKI / "admin.crt").read_bytes()).decode() in config
    async with made.client() as renewed:

        async def are_ready() -> bool:
            return await ready_nodes(renewed) == made.names

        await until("both nodes are ready", are_ready)
        for pod in await ready_pods(renewed, "app=web"):
            assert [one.restart_count for one in pod.status.container_statuses] == [0]


async def test_what_runs_after_a_renewal_has_the_new_certificates(made: Cluster) -> None:
    for node in made.names:
        serving = certificates(made, node)["kubelet-serving"]
        script = (
            "openssl s_client -connect 127.0.0.1:10250 </dev/null 2>/dev/null "
            "| openssl x509 -noout -serial"
        )
        shown = (await made.run(node, ["sh", "-c", script])).stdout.strip()
        assert int(shown.partition("=")[2], 16) == serving.serial_number, node


async def test_a_status_tells_when_certificates_end(made: Cluster) -> None:
    end = datetime.now(UTC) + timedelta(days=365)
    for node in made.names:
        shown = await asked(made, node, "status")
        assert shown.code == 0, shown.stderr
        ending = next(line for line in shown.stdout.splitlines() if "certificates" in line)
        day = datetime.fromisoformat(ending.split()[-1]).replace(tzinfo=UTC)
        assert abs(day - end) < timedelta(days=2)


@pytest.mark.parametrize(("node", "name"), [("n1", "scheduler"), ("n1", "etcd"), ("n2", "proxy")])
async def test_a_start_renews_what_is_not_good_and_begins_its_program_anew(
    made: Cluster, node: str, name: str
) -> None:
    """As where it is near its end: a worker asks with its kubelet's, which is good yet."""
    before, old = certificates(made, node), await made.pid_of(node, name)
    await broken(made, node, name)
    ended = await asked(made, node, "start")
    assert ended.code == 0, ended.stderr
    assert certificates(made, node)[name] != before[name]
    assert await made.pid_of(node, name) != old
    # Good certificates are kept, and nothing begins anew.
    kept, pid = certificates(made, node), await made.pid_of(node, name)
    assert (await asked(made, node, "start")).code == 0
    assert certificates(made, node) == kept
    assert await made.pid_of(node, name) == pid


async def test_a_worker_whose_key_is_not_its_certificates_gets_others_by_a_token(
    made: Cluster, served: str
) -> None:
    containers = await containers_of(made)
    async with steady_calls(made, "n1", served) as calls:
        await broken(made, "n2", "kubelet")
        assert "cuberoot renew" in (await asked(made, "n2", "status")).stdout
        assert "join again" in refusal(await asked(made, "n2", "renew"))
        server, token, pin = await invitation(made)
        words = ("join", server, "--token", token, "--ca-hash", pin)
        # The name belongs to its certificates: it is not given to whoever comes with a token.
        assert "belongs to a node" in refusal(await asked(made, "n2", *words))
        form = JOIN_WORDS.search(await made.new_token("--node", "n2"))
        assert form
        words = ("join", server, "--token", form.group(2), "--ca-hash", pin)
        ended = await asked(made, "n2", *words)
        assert ended.code == 0, ended.stderr
        assert (await asked(made, "n2", "status")).code == 0
    assert calls.failed_count == 0
    assert await containers_of(made) == containers


async def test_who_was_removed_from_the_cluster_renews_nothing(made: Cluster) -> None:
    """The last test of this module: it takes a node away."""
    assert (await asked(made, "n2", "stop")).code == 0
    before = certificates(made, "n2")
    async with made.client() as client:
        await client.delete(Node, "n2")
        told = refusal(await asked(made, "n2", "renew"))
        assert "no node of the cluster" in told
        assert certificates(made, "n2") == before
