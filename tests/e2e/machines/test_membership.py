"""Machines join and leave: what is refused, what may be repeated or cut, and that nothing stays."""

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from cubernetes.api.core.node import Node, is_ready
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.service import Service
from cubernetes.api.errors import NotFound
from lab.host.node import Ended
from lab.lab import Lab
from tests.e2e.cluster import CUBEROOT, JOIN_WORDS, Cluster, until
from tests.e2e.conftest import finished
from tests.e2e.pods import WEB, found, pod
from tests.e2e.uses.test_serving import web

pytestmark = [pytest.mark.lab]

HERE = Path(__file__).resolve().parents[1]
# Where an init is cut by -9: by what it has just made, or said.
MOMENTS = (
    "[ -e /etc/cubernetes/journal.json ]",
    "[ -e /etc/cubernetes/cluster.json ]",
    "[ -e /etc/cubernetes/pki/etcd.key ]",
    "[ -e /run/cubernetes/supervisord.pid ]",
    "grep -q 'apiserver started' /run/said",
    "grep -q 'kubelet started' /run/said",
)
CUT = """
setsid "$2" -m cuberoot init > /run/said 2>&1 < /dev/null & p=$!
count=0
until eval "$1"; do sleep 0.01; count=$((count + 1)); [ $count -lt 3000 ] || exit 9; done
kill -9 $p; rm -f /run/said
"""
WRONG_PIN = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def machines(boot_lab: Callable[[str, int], AbstractContextManager[Lab]]) -> Iterator[Cluster]:
    """Two machines that belong to no cluster, with things of others on them."""
    with boot_lab("mem", 2) as lab:
        cluster = Cluster(lab)
        for name in cluster.names:
            script = (HERE / "plant.sh").read_text()
            finished(_ran(cluster, name, ["sh", "-c", script]))
        yield cluster


async def _ran(cluster: Cluster, node: str, argv: Sequence[str]) -> None:
    await cluster.run(node, argv)


type Traces = Mapping[str, list[str]]


async def traces(cluster: Cluster, node: str) -> Traces:
    """Return everything that a machine bears, by subject."""
    ended = await cluster.run(node, [sys.executable, str(HERE / "traces.py")])
    read: Traces = json.loads(ended.stdout)
    return read


def difference(before: Traces, after: Traces) -> list[str]:
    return [
        f"{subject} {sign} {line}"
        for subject in before
        for sign, one, other in (
            ("lost", before[subject], after[subject]),
            ("left", after[subject], before[subject]),
        )
        for line in sorted(set(one) - set(other))
    ]


@pytest.fixture(scope="module")
def before(machines: Cluster) -> Mapping[str, Traces]:
    """What each machine bore before its first init or join."""
    found: dict[str, Traces] = {}

    async def look() -> None:
        for name in machines.names:
            found[name] = await traces(machines, name)

    finished(look())
    return found


@pytest.fixture(scope="module")
def made(machines: Cluster, before: Mapping[str, Traces]) -> Cluster:
    """The first machine as a control plane, made by an init that was cut again and again."""

    async def make() -> None:
        for moment in MOMENTS:
            argv = ["sh", "-c", CUT, "sh", moment, sys.executable]
            await machines.run("n1", argv, deadline_s=60)
        said = await machines.run("n1", [*CUBEROOT, "init"], deadline_s=120)
        assert JOIN_WORDS.search(said.stdout), said.stdout

    finished(make())
    return machines


async def asked(cluster: Cluster, node: str, *words: str, deadline_s: float = 120) -> Ended:
    return await cluster.run(node, [*CUBEROOT, *words], check=False, deadline_s=deadline_s)


async def invitation(cluster: Cluster) -> tuple[str, str, str]:
    """Return the server, a token and the pin that the control plane gives out."""
    form = JOIN_WORDS.search(await cluster.new_token())
    assert form
    server, token, pin = form.groups()
    return server, token, pin


async def joined(cluster: Cluster) -> None:
    """See to it that n2 is a node."""
    if (await asked(cluster, "n2", "status")).code != 0:
        await cluster.join("n2", await cluster.new_token())


def refusal(ended: Ended) -> str:
    """Return the one line that tells why; fails where it is a success, or a story."""
    assert ended.code == 1, (ended.code, ended.stdout, ended.stderr)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.stderr.strip()


async def test_w55_a_machine_without_tools_is_told_all_it_lacks_and_is_not_touched(
    machines: Cluster, before: Mapping[str, Traces]
) -> None:
    argv = ["env", "PATH=/nonexistent", *CUBEROOT, "init"]
    told = refusal(await machines.run("n2", argv, check=False))
    for tool, package in (("ip", "iproute2"), ("iptables-save", "iptables"), ("etcd", "etcd")):
        assert f"{tool} is missing" in told
        assert package in told
    assert difference(before["n2"], await traces(machines, "n2")) == []


async def test_a_manifest_that_cannot_be_heeded_is_refused_by_its_fields(machines: Cluster) -> None:
    manifest = "apiVersion: v1\nkind: Node\nmetadata: {name: Bad_}\nspec: {podCIDR: 10.0.0.0/8}\n"
    script = f"printf '{manifest}' | {' '.join(CUBEROOT)} init -f -"
    told = refusal(await machines.run("n2", ["sh", "-c", script], check=False))
    assert "metadata.name" in told
    assert "spec: Forbidden: is not heeded" in told


async def test_commands_on_a_machine_that_is_no_node_say_so(machines: Cluster) -> None:
    commands = (("status",), ("start",), ("stop",), ("token", "create"))
    for ended in await asyncio.gather(*(asked(machines, "n2", *words) for words in commands)):
        assert "cuberoot:" in refusal(ended)
    again = await asked(machines, "n2", "reset", "--yes")
    assert again.code == 0


async def test_an_init_that_was_cut_at_every_moment_is_finished_by_the_next(made: Cluster) -> None:
    async with made.client() as client:
        assert is_ready(await client.get(Node, "n1"))
    ended = await asked(made, "n1", "status")
    assert ended.code == 0, ended.stderr
    assert [line.split()[1] for line in ended.stdout.splitlines()[1:7]] == ["running"] * 6


async def test_init_start_and_stop_may_be_repeated(made: Cluster) -> None:
    _, _, pin = await invitation(made)
    again = await asked(made, "n1", "init")
    assert again.code == 0, again.stderr
    assert pin in again.stdout, "the same cluster"
    for words in ("stop", "stop", "start"):
        ended = await asked(made, "n1", words)
        assert ended.code == 0, (words, ended.stderr)


async def test_a_wrong_pin_is_refused_before_anything_secret_leaves(made: Cluster) -> None:
    server, token, _ = await invitation(made)
    told = refusal(
        await asked(made, "n2", "join", server, "--token", token, "--ca-hash", WRONG_PIN)
    )
    assert "Nothing secret was sent" in told
    # The token is still good: nobody has seen it.
    listed = (await asked(made, "n1", "token", "list")).stdout
    assert token.partition(".")[0] in listed


@pytest.mark.parametrize("disguise", ["its own certificate", "the certificate of the real cluster"])
async def test_w42_a_false_cluster_learns_nothing(made: Cluster, disguise: str) -> None:
    _, token, pin = await invitation(made)
    ca = ["/etc/cubernetes/pki/cluster-ca.crt"] if disguise.startswith("the") else []
    words = [sys.executable, str(HERE / "false_server.py"), "7443", "/run/heard", *ca]
    house = str(HERE.parents[1])
    script = f"cd {house} && exec setsid {' '.join(words)} > /run/false.log 2>&1 < /dev/null"
    env = f"PYTHONPATH={house}"
    running = asyncio.ensure_future(
        made.run("n1", ["env", env, "sh", "-c", f"echo $$ > /run/false.pid; {script}"], check=False)
    )
    try:

        async def is_up() -> bool:
            argv = ["curl", "-sk", "-m", "2", "https://127.0.0.1:7443/"]
            return (await made.run("n1", argv, check=False)).code == 0

        await until("the false cluster listens", is_up)
        address = f"{made.lab.node('n1').address}:7443"
        told = refusal(await asked(made, "n2", "join", address, "--token", token, "--ca-hash", pin))
        heard = (await made.run("n1", ["cat", "/run/heard"])).stdout
    finally:
        await made.run("n1", ["sh", "-c", "kill $(cat /run/false.pid)"])
        await running
        await made.run("n1", ["sh", "-c", "rm -f /run/heard /run/false.*"])
    assert ("pin" in told) if not ca else ("certificate" in told)
    assert "GET /cluster-info" in heard
    assert token.partition(".")[2] not in heard
    assert "POST" not in heard
    assert "CERTIFICATE REQUEST" not in heard


async def test_w42_a_token_that_is_wrong_revoked_or_used_opens_nothing(made: Cluster) -> None:
    server, token, pin = await invitation(made)

    async def told_for(secret: str) -> str:
        return refusal(await asked(made, "n2", "join", server, "--token", secret, "--ca-hash", pin))

    token_id, _, secret = token.partition(".")
    wrong = f"{token_id}.{'0' * len(secret)}"
    unknown = f"{'a' * len(token_id)}.{secret}"
    for one in (wrong, unknown, "nonsense", ""):
        assert re.search("401|token", await told_for(one)), one
    await made.run("n1", [*CUBEROOT, "token", "revoke", token_id])
    assert "401" in await told_for(token)
    _, used, _ = await invitation(made)
    await made.run("n2", [*CUBEROOT, "join", server, "--token", used, "--ca-hash", pin])
    await made.run("n2", [*CUBEROOT, "reset", "--yes"])
    # For some minutes it is good for the node that used it (whose answer may have been lost),
    # and for no other.
    manifest = "apiVersion: v1\nkind: Node\nmetadata: {name: other}\n"
    words = [*CUBEROOT, "join", server, "--token", used, "--ca-hash", pin, "-f", "-"]
    ended = await made.lab.node("n2").run(words, check=False, stdin=manifest, deadline_s=60)
    assert "401" in refusal(ended)


async def test_a_token_in_a_file_is_not_seen_among_the_processes(made: Cluster) -> None:
    server, token, pin = await invitation(made)
    script = (
        f"umask 077; cat > /run/token; {' '.join(CUBEROOT)} join {server} --token @/run/token "
        f"--ca-hash {pin} & p=$!; while kill -0 $p 2>/dev/null; do "
        "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null >> /run/seen; sleep 0.05; done; "
        "wait $p"
    )
    node = made.lab.node("n2")
    await node.run(["sh", "-c", script], check=True, stdin=token, deadline_s=60)
    seen = (
        await made.run("n2", ["sh", "-c", "tr '\\0' ' ' < /run/seen; rm /run/seen /run/token"])
    ).stdout
    assert "--token @/run/token" in seen
    assert token.partition(".")[2] not in seen


async def test_two_joins_at_once_do_not_mix(made: Cluster) -> None:
    await asked(made, "n2", "reset", "--yes")
    invited = [await invitation(made), await invitation(made)]
    ended = await asyncio.gather(
        *(
            asked(made, "n2", "join", server, "--token", token, "--ca-hash", pin)
            for server, token, pin in invited
        )
    )
    first, second = sorted(ended, key=lambda one: one.code)
    assert first.code == 0, first.stderr
    assert "another cuberoot" in refusal(second)


async def test_joining_may_be_repeated_but_not_for_another_cluster(made: Cluster) -> None:
    await joined(made)
    server, token, pin = await invitation(made)
    again = await asked(made, "n2", "join", server, "--token", token, "--ca-hash", pin)
    assert again.code == 0, again.stderr
    other = await asked(made, "n2", "join", server, "--token", token, "--ca-hash", WRONG_PIN)
    assert "another cluster" in refusal(other)
    assert "worker" in refusal(await asked(made, "n2", "init"))
    assert "control plane" in refusal(
        await asked(made, "n1", "join", server, "--token", token, "--ca-hash", pin)
    )


async def serve(cluster: Cluster) -> None:
    """Put on each node what leaves the most behind: ports, volumes in memory, a service."""
    volumes = [{"name": "m", "emptyDir": {"medium": "Memory"}}, {"name": "d", "emptyDir": {}}]
    mounts = [{"name": "m", "mountPath": "/m"}, {"name": "d", "mountPath": "/d"}]
    container = {
        "name": "main",
        "image": WEB,
        "ports": [{"containerPort": 8080, "hostPort": 18080}],
        "volumeMounts": mounts,
    }
    names = cluster.names
    async with cluster.client() as client:
        replicaset, service = web("web", 4)
        del replicaset
        await client.create(service)
        for name in names:
            wish = pod(
                f"on-{name}", [container], namespace="default", nodeName=name, volumes=volumes
            )
            await client.create(wish)
        for name in names:

            async def runs(name: str = name) -> bool:
                one = await found(client, f"on-{name}", "default")
                return one is not None and one.status.phase == "Running"

            await until(f"on-{name} runs", runs)


async def test_w45_reset_of_a_worker_leaves_no_trace_and_it_may_come_back(
    made: Cluster, before: Mapping[str, Traces]
) -> None:
    await joined(made)
    await serve(made)
    ended = await asked(made, "n2", "reset", "--yes")
    assert ended.code == 0, ended.stderr
    assert difference(before["n2"], await traces(made, "n2")) == []
    async with made.client() as client:
        with pytest.raises(NotFound):
            await client.get(Node, "n2")
        await joined(made)  # under the same name

        async def is_back() -> bool:
            return is_ready(await client.get(Node, "n2"))

        await until("n2 Ready again", is_back)
        await client.delete(Service, "web", "default")
        for name in made.names:
            if await found(client, f"on-{name}", "default"):
                await client.delete(Pod, f"on-{name}", "default", grace_s=0)
        wish = pod("again", [{"name": "main", "image": WEB}], namespace="default", nodeName="n2")
        await client.create(wish)

        async def runs() -> bool:
            one = await found(client, "again", "default")
            return one is not None and one.status.phase == "Running"

        await until("a pod on the node that came back", runs)


async def test_w45_reset_of_a_control_plane_leaves_no_trace(
    made: Cluster, before: Mapping[str, Traces]
) -> None:
    """The last test of this module: it ends the cluster."""
    await joined(made)
    ended = await asked(made, "n1", "reset", "--yes")
    assert ended.code == 0, ended.stderr
    assert difference(before["n1"], await traces(made, "n1")) == []
    orphan = await asked(made, "n2", "reset", "--yes")
    assert orphan.code == 0
    assert "the cluster was not told" in orphan.stdout
    assert difference(before["n2"], await traces(made, "n2")) == []


async def test_a_reset_finishes_what_a_cut_init_has_left(
    machines: Cluster, before: Mapping[str, Traces]
) -> None:
    assert (await asked(machines, "n2", "reset", "--yes")).code == 0  # whatever was before
    for moment in (MOMENTS[2], MOMENTS[4]):
        await machines.run("n2", ["sh", "-c", CUT, "sh", moment, sys.executable], deadline_s=60)
        ended = await asked(machines, "n2", "reset", "--yes")
        assert ended.code == 0, ended.stderr
        assert difference(before["n2"], await traces(machines, "n2")) == []
