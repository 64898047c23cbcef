"""What strangers, other nodes and stolen certificates get from a real cluster: nothing."""

import asyncio
import http.client
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.bodies.joining import JOIN_PATH, JoinRequest
from cubernetes.api.coding import codec
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.errors import Forbidden, Invalid, NotFound
from cubernetes.api.meta import replaced
from cubernetes.client.connect import ClientSettings, connect
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cuberoot.pki import new_ca, new_cert, new_request
from cuberoot.program import Identity
from tests.e2e.cluster import CUBEROOT, JOIN_WORDS, PATIENCE_S, Cluster
from tests.e2e.conftest import finished
from tests.e2e.pods import SLEEP, pod, shell, until_gone, until_phase

pytestmark = [pytest.mark.lab]

OPEN_PATHS = ("/livez", "/readyz", "/version", "/cluster-info")
CLOSED_PATHS = (
    "/",
    "/api",
    "/apis",
    "/api/v1",
    "/api/v1/pods",
    "/api/v1/nodes",
    "/api/v1/namespaces/default/pods/bystander/log",
    "/apis/coordination.k8s.io/v1/leases",
    "/apis/cubernetes.io/v1/tokens",
    "/openapi/v2",
    "/openapi/v3",
    "/metrics",
    "/debug/pprof",
    "/livez/../api/v1/pods",
    "//api/v1/pods",
    "/api/v1/pods?watch=true",
)
LISTENING = "ss -Hltn | awk '{print $4}'"
# Per role: what may be reached from outside this node.
PORTS = {"n1": {"6443", "2380", "10250"}, "n2": {"10250"}, "n3": {"10250"}}
NEAR = ("127.", "169.254.20.10:")
TREES = ("/etc/cubernetes", "/var/lib/cubernetes", "/run/cubernetes", "/var/log/cubernetes")


@pytest.fixture(scope="module", autouse=True)
def bystanders(cluster: Cluster) -> Iterator[None]:
    """A pod on n2 and one on n3, to be looked at by who may not."""
    names = {"bystander": "n3", "own": "n2"}

    async def make() -> None:
        async with cluster.client() as client:
            for name, node in names.items():
                wish = pod(name, [shell(SLEEP)], namespace="default", nodeName=node)
                await client.create(wish)
            for name in names:
                await until_phase(client, name, "Running", namespace="default")

    async def unmake() -> None:
        async with cluster.client() as client:
            for name in names:
                await client.delete(Pod, name, "default")
            for name in names:
                await until_gone(client, name, namespace="default")

    finished(make())
    yield
    finished(unmake())


def pki(cluster: Cluster, node: str = "n1") -> Path:
    return cluster.lab.node(node).root / "etc/cubernetes/pki"


def tls(cluster: Cluster, cert: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Return what a caller with this certificate shows; whom it asks it does not check."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context


async def status_of(url: str, context: ssl.SSLContext) -> int:
    """Return the HTTP status; 0 where the connection or its TLS is refused."""
    return await asyncio.to_thread(_status_of, url, context)


def _status_of(url: str, context: ssl.SSLContext) -> int:
    """Ask with the path exactly as it is written: a polite client would tidy it up first."""
    place, _, path = url.removeprefix("https://").partition("/")
    connection = http.client.HTTPSConnection(place, timeout=PATIENCE_S, context=context)
    try:
        connection.request("GET", f"/{path}")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@asynccontextmanager
async def as_who(cluster: Cluster, name: str, node: str = "n1") -> AsyncIterator[Client]:
    """Give a client that shows a certificate which lies on a node."""
    folder = pki(cluster, node)
    settings = ClientSettings(
        servers=(f"https://{cluster.lab.node('n1').address}:6443",),
        ca=str(folder / "cluster-ca.crt"),
        cert=str(folder / f"{name}.crt"),
        key=str(folder / f"{name}.key"),
    )
    client = connect(settings, Env(), "e2e")
    try:
        yield client
    finally:
        await client.close()


async def refused(attempts: dict[str, Callable[[], Awaitable[object]]]) -> list[str]:
    """Make every attempt; return the ones that were not refused with 403."""
    allowed = []
    for what, attempt in attempts.items():
        try:
            await attempt()
        except Forbidden:
            continue
        except (NotFound, Invalid) as error:
            allowed.append(f"{what}: {error}")
        else:
            allowed.append(what)
    return allowed


async def test_only_the_known_ports_are_open_to_others(cluster: Cluster) -> None:
    for name in cluster.names:
        lines = (await cluster.run(name, ["sh", "-c", LISTENING])).stdout.split()
        # 169.254.20.10 stands on the loopback: the resolver answers this node and its pods alone.
        far = {line.rpartition(":")[2] for line in lines if not line.startswith(NEAR)}
        assert far == PORTS[name], f"{name}: {lines}"


async def test_w42_a_stranger_gets_four_pages_of_the_api_server_and_nothing_else(
    cluster: Cluster, tmp_path: Path
) -> None:
    base = f"https://{cluster.lab.node('n1').address}:6443"
    nobody = tls(cluster)
    assert {path: await status_of(base + path, nobody) for path in OPEN_PATHS} == dict.fromkeys(
        OPEN_PATHS, 200
    )
    got = {path: await status_of(base + path, nobody) for path in CLOSED_PATHS}
    # What is not there at all may say so.
    assert set(got.values()) <= {401, 404}, got
    assert got["/api/v1/pods"] == got["/apis/cubernetes.io/v1/tokens"] == 401


async def test_t1_certificates_of_other_authorities_and_uses_open_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    base = f"https://{cluster.lab.node('n1').address}:6443/api/v1/nodes"
    now, admin = datetime.now(UTC), Identity("kubernetes-admin", ("system:masters",))
    forged = new_cert(admin, new_ca("cubernetes-ca", now), now)
    (tmp_path / "forged.pem").write_bytes(forged.cert + forged.key)
    folder = pki(cluster)
    strangers = {
        "an authority of the same name": tls(cluster, tmp_path / "forged.pem"),
        "the store's authority": tls(
            cluster, folder / "apiserver-etcd.crt", folder / "apiserver-etcd.key"
        ),
        "a serving certificate": tls(
            cluster, folder / "kubelet-serving.crt", folder / "kubelet-serving.key"
        ),
    }
    got = {who: await status_of(base, context) for who, context in strangers.items()}
    assert all(code in (0, 401) for code in got.values()), got


async def test_t3_a_kubelet_answers_nobody_but_the_api_server(cluster: Cluster) -> None:
    folder = pki(cluster)
    url = f"https://{cluster.lab.node('n2').address}:10250"
    log = f"{url}/containerLogs/default/own/main"
    assert await status_of(log, tls(cluster)) == 0
    for name in ("admin", "kubelet", "proxy", "scheduler", "controllers"):
        context = tls(cluster, folder / f"{name}.crt", folder / f"{name}.key")
        assert await status_of(log, context) == 403, name
    own = tls(cluster, pki(cluster, "n2") / "kubelet.crt", pki(cluster, "n2") / "kubelet.key")
    assert await status_of(log, own) == 403
    server = tls(cluster, folder / "apiserver-kubelet.crt", folder / "apiserver-kubelet.key")
    assert await status_of(log, server) == 200
    for session in ("exec/default/own/main?command=id&stdout=true", "attach/default/own/main"):
        assert await status_of(f"{url}/{session}", own) == 403
    for path in ("/", "/pods", "/run/default/own/main", "/debug/pprof/", "/metrics"):
        assert await status_of(url + path, server) == 404, path
    escape = f"{url}/containerLogs/default/..%2f..%2fown/main"
    assert await status_of(escape, server) == 404


async def test_t2_the_store_is_reached_only_from_within_and_with_its_own_authority(
    cluster: Cluster,
) -> None:
    folder = pki(cluster)
    address = cluster.lab.node("n1").address
    member = tls(cluster, folder / "kubelet.crt", folder / "kubelet.key")
    assert await status_of(f"https://{address}:2379/health", tls(cluster)) == 0
    for context in (tls(cluster), member):
        assert await status_of(f"https://{address}:2380/members", context) == 0

    async def curl(*words: str) -> int:
        limit = f"{PATIENCE_S:g}"
        argv = ["curl", "-sk", "-m", limit, *words, "https://127.0.0.1:2379/health"]
        return (await cluster.run("n1", argv, check=False)).code

    inside = "/etc/cubernetes/pki"
    assert await curl() != 0
    assert await curl("--cert", f"{inside}/admin.crt", "--key", f"{inside}/admin.key") != 0
    own = ("--cert", f"{inside}/apiserver-etcd.crt", "--key", f"{inside}/apiserver-etcd.key")
    assert await curl(*own) == 0


async def test_t12_a_nodes_certificate_is_good_for_its_own_node_and_pods_alone(
    cluster: Cluster, client: Client
) -> None:
    foreign = await client.get(Pod, "bystander", "default")
    mine = await client.get(Pod, "own", "default")
    other = await client.get(Node, "n3")
    wish = pod("smuggled", [shell(SLEEP)], namespace="default", nodeName="n2")
    async with as_who(cluster, "kubelet", "n2") as node:
        assert (await node.get(Node, "n2")).metadata.name == "n2"
        assert (await node.get(Pod, "own", "default")).metadata.name == "own"
        listed = await node.list(Pod, fields="spec.nodeName=n2")
        assert "own" in [one.metadata.name for one in listed.items]
        role = {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}
        apart = {"metadata": {"labels": {"node-restriction.kubernetes.io/gold": "yes"}}}
        evil = replaced(mine, spec=replaced(mine.spec, node_name="n3"))
        assert await refused({
            "list all pods": lambda: node.list(Pod),
            "list pods of another": lambda: node.list(Pod, fields="spec.nodeName=n3"),
            "list pods of both": lambda: node.list(Pod, fields="spec.nodeName!=n3"),
            "read a pod of another": lambda: node.get(Pod, "bystander", "default"),
            "delete a pod of another": lambda: node.delete(Pod, "bystander", "default"),
            "report a pod of another": lambda: node.update_status(foreign),
            "create a pod": lambda: node.create(wish),
            "move its pod": lambda: node.update(evil),
            "bind a pod": lambda: node.bind("own", "default", mine.metadata.uid, "n3"),
            "report another node": lambda: node.update_status(other),
            "change another node": lambda: node.patch(Node, "n3", "", apart),
            "delete another node": lambda: node.delete(Node, "n3"),
            "give itself a role": lambda: node.patch(Node, "n2", "", role),
            "give itself a restricted label": lambda: node.patch(Node, "n2", "", apart),
            "choose its network": lambda: node.patch(
                Node, "n2", "", {"spec": {"podCIDR": "10.244.0.0/16"}}
            ),
            "cordon itself": lambda: node.patch(Node, "n2", "", {"spec": {"unschedulable": True}}),
            "read another's lease": lambda: node.get(Lease, "n3", "kube-node-lease"),
            "list leases": lambda: node.list(Lease),
            "read the leader's lease": lambda: node.get(Lease, "controllers", "kube-system"),
            "list replicasets": lambda: node.list(ReplicaSet),
            "delete a namespace": lambda: node.delete(Namespace, "default"),
            "read a log": lambda: drained(node, "own"),
        }) == []  # fmt: skip


async def drained(client: Client, name: str) -> None:
    async for _ in client.log(name, "default"):
        return


async def test_proxies_and_the_scheduler_have_what_they_need_and_no_more(
    cluster: Cluster, client: Client
) -> None:
    one, service = (
        await client.get(Pod, "own", "default"),
        await client.get(Service, "kubernetes", "default"),
    )
    wish = pod("smuggled", [shell(SLEEP)], namespace="default")
    cordon = {"spec": {"unschedulable": True}}
    async with as_who(cluster, "proxy", "n2") as proxy:
        assert (await proxy.list(Service)).items
        assert (await proxy.list(EndpointSlice)).items
        assert await refused({
            "list pods": lambda: proxy.list(Pod),
            "create a pod": lambda: proxy.create(wish),
            "change a service": lambda: proxy.update(service),
            "change a node": lambda: proxy.patch(Node, "n2", "", cordon),
            "read leases": lambda: proxy.list(Lease),
        }) == []  # fmt: skip
    async with as_who(cluster, "scheduler") as scheduler:
        assert (await scheduler.list(Pod)).items
        assert await refused({
            "create a pod": lambda: scheduler.create(wish),
            # It ends pods, to make room for others that matter more.
            "delete a node": lambda: scheduler.delete(Node, "n2"),
            "change a pod": lambda: scheduler.update(one),
            "change a node": lambda: scheduler.patch(Node, "n2", "", cordon),
            "list services": lambda: scheduler.list(Service),
            "create a namespace": lambda: scheduler.create(
                codec.from_tree(Namespace, {"metadata": {"name": "smuggled"}}).model
            ),
        }) == []  # fmt: skip


def request_for(node: str, identity: Identity, addresses: tuple[str, ...]) -> bytes:
    """Return a join request whose kubelet certificates are to name identity."""
    serving = identity._replace(names=(node,), addresses=addresses)
    made = {
        "kubelet": new_request(identity._replace(names=(), addresses=())),
        "kubelet-serving": new_request(serving),
        "proxy": new_request(Identity(f"system:proxy:{node}", ("system:proxies",))),
        "resolver": new_request(Identity(f"system:resolver:{node}", ("system:resolvers",))),
    }
    requests = {key: one.cert.decode() for key, one in made.items()}
    return codec.encode(JoinRequest(node=node, addresses=addresses, requests=requests))


async def test_t13_a_token_signs_nothing_but_the_certificates_of_a_new_node(
    cluster: Cluster,
) -> None:
    # Good for many uses, so that none of these is refused for another's success.
    form = JOIN_WORDS.search(await cluster.new_token("--uses", "many"))
    assert form
    server, token, _ = form.groups()
    near = cluster.lab.node("n1").address
    free = near.rpartition(".")[0] + ".99"
    as_node = Identity("system:node:new", ("system:nodes",))
    wishes = {
        "an administrator": ("new", Identity("kubernetes-admin", ("system:masters",)), free),
        "one more group": ("new", Identity("system:node:new", ("system:nodes", "x")), free),
        "another node": ("new", Identity("system:node:n1", ("system:nodes",)), free),
        "a node that lives": ("n1", Identity("system:node:n1", ("system:nodes",)), free),
        "a name with a line end": ("new\nx", as_node, free),
        "the API server's address": ("new", as_node, near),
        "the first service's address": ("new", as_node, "10.96.0.1"),
        "loopback": ("new", as_node, "127.0.0.1"),
        "the API server's name": (
            "kubernetes.default.svc",
            Identity("system:node:kubernetes.default.svc", ("system:nodes",)),
            free,
        ),
        "localhost": ("localhost", Identity("system:node:localhost", ("system:nodes",)), free),
    }
    headers = {"Authorization": f"Bearer {token}"}
    connector = aiohttp.TCPConnector(ssl=tls(cluster), force_close=True)
    signed = {}
    async with aiohttp.ClientSession(connector=connector) as session:
        for what, (node, identity, address) in wishes.items():
            try:
                body = request_for(node, identity, (address,))
            except ValueError:  # no certificate request can say it
                continue
            url = f"https://{server}{JOIN_PATH}"
            async with session.post(url, data=body, headers=headers) as answer:
                if answer.status not in (401, 403, 409, 422):
                    signed[what] = answer.status
    await cluster.run("n1", [*CUBEROOT, "token", "revoke", token.partition(".")[0]])
    assert signed == {}


async def test_t16_keys_settings_and_states_are_readable_by_root_alone(cluster: Cluster) -> None:
    for name in cluster.names:
        argv = ["find", *TREES, "-printf", "%M %u %g %p\\n"]
        lines = (await cluster.run(name, argv)).stdout.splitlines()
        tops = {line.split()[3]: line for line in lines if line.split()[3] in TREES}
        assert set(tops) == set(TREES)
        for line in tops.values():
            assert line.startswith("drwx------ root root"), f"{name}: {line}"
        for line in lines:
            mode, user, _, path = line.split(maxsplit=3)
            assert user == "root" or "/volumes/" in path, f"{name}: {line}"
            is_secret = path.endswith((".key", ".conf", ".json", ".checkpoint", "/db", ".sock"))
            # What every program of a pod is to read, in a folder that is root's alone.
            is_pods = "/volumes/" in path or "/kubelet/names/" in path
            if is_secret and not is_pods:
                assert mode[1:] == "rw-------", f"{name}: {line}"


async def test_t7_no_node_routes_what_is_for_its_loopback(cluster: Cluster) -> None:
    script = "cat /proc/sys/net/ipv4/conf/*/route_localnet | sort | uniq -c"
    for name in cluster.names:
        assert (await cluster.run(name, ["sh", "-c", script])).stdout.split()[1:] == ["0"]
    # A neighbour that sends for 127.0.0.1 by way of a node gets no answer from the store.
    near = cluster.lab.node("n1").address
    trick = (
        f"ip route add 127.9.9.9/32 via {near} table 99; "
        "ip rule add to 127.9.9.9 lookup 99 pref 0; "
        "timeout 3 bash -c 'exec 3<>/dev/tcp/127.9.9.9/2379' && echo open; "
        "ip rule del pref 0 lookup 99; ip route flush table 99"
    )
    assert "open" not in (await cluster.run("n2", ["sh", "-c", trick], check=False)).stdout


@pytest.mark.parametrize(
    "name", ["../../etc", "a b", "a;b", "$(id)", "a\nb", "-A", "a'b", 'a"b', "A", "x" * 300]
)
async def test_t30_names_that_could_mean_more_are_refused_at_the_door(
    client: Client, name: str
) -> None:
    pods = pod("ok", [shell(SLEEP)], namespace="default")
    service = codec.from_tree(
        Service,
        {
            "metadata": {"name": "ok", "namespace": "default"},
            "spec": {"ports": [{"port": 80, "name": "p"}]},
        },
    ).model
    for one in (pods, service):
        with pytest.raises(Invalid, match=r"metadata\.name"):
            await client.create(replaced(one, metadata=replaced(one.metadata, name=name)))
    labelled = replaced(pods, metadata=replaced(pods.metadata, labels={"app": name}))
    if not name.isalpha():
        with pytest.raises(Invalid, match="labels"):
            await client.create(labelled)
    container = replaced(pods.spec.containers[0], name=name)
    with pytest.raises(Invalid, match="containers"):
        await client.create(replaced(pods, spec=replaced(pods.spec, containers=(container,))))


@pytest.mark.parametrize("folder", ["/proc/self/fd/8", "//proc/self/fd/8", "/./proc/self", "/proc"])
async def test_t9_a_working_directory_in_proc_is_refused_in_every_spelling(
    client: Client, folder: str
) -> None:
    with pytest.raises(Invalid, match="workingDir"):
        await client.create(pod("fd", [shell(SLEEP, workingDir=folder)], namespace="default"))


async def test_a_bad_handshake_and_a_silent_caller_cost_others_nothing(
    cluster: Cluster, client: Client
) -> None:
    address = cluster.lab.node("n1").address
    silent = [await asyncio.open_connection(address, 6443) for _ in range(50)]
    try:
        silent[0][1].write(b"GET / HTTP/1.1\r\n\r\n")
        await client.get(Node, "n2")
        # Nobody's silence had to come to its end first.
        assert not any(reader.at_eof() for reader, _ in silent[1:])
    finally:
        for _, writer in silent:
            writer.close()
        await asyncio.gather(
            *(writer.wait_closed() for _, writer in silent), return_exceptions=True
        )
