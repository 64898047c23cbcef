"""Logs of lives that are over and of pods that are gone, through API server and kubelet."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path

import pytest

from cubernetes.api.bodies.postmortem import PostMortem, PostMortemList
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.host.web.messages import Request
from kubelet.keptlogs.retention import Life
from kubelet.runtime.driver import Container
from kubelet.runtime.fake import Behaviour
from tests.contract.api.streams.world import ADMIN, ExecWorld, an_exec_world
from tests.contract.api.world import NODES, PODS, Tree, a_node, a_pod


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ExecWorld]:
    async with an_exec_world(tmp_path) as made:
        yield made


async def lived(world: ExecWorld, name: str, *lives: str, container: str = "main") -> Pod:
    """Let a pod run that has lived so often; what it wrote last its runtime still has."""
    pod = None
    for attempt, line in enumerate(lives):
        image = f"{name}-{line}"
        world.machine.behaviours[image] = Behaviour(output=(line.encode() + b"\n",))
        world.machine.images.add(image)
        if pod is None:
            tree: Tree = a_pod(name, containers=[{"name": container, "image": image}])
            made = await world.another_pod(tree, image, name=container)
            pod = world.here.pods[-1]
        else:
            await over(world, pod, made)
            made = await world.another_life(pod, image, attempt=attempt, name=container)
    assert pod is not None
    return pod


async def over(world: ExecWorld, pod: Pod, container_id: str) -> None:
    """Take a container away as its kubelet does."""
    found: Container = world.machine.lives[container_id].container
    await world.kept.keep(found, pod)
    await world.runtime.remove(container_id)


async def deleted(world: ExecWorld, pod: Pod) -> None:
    name = pod.metadata.name
    for life in list(world.machine.lives.values()):
        if life.container.pod_uid == pod.metadata.uid:
            await over(world, pod, life.container.id)
    world.here.pods.remove(pod)
    query = (("gracePeriodSeconds", "0"),)
    await world.server.handle(Request("DELETE", f"{PODS}/{name}", query, identity=ADMIN))


async def test_every_life_of_a_container_that_runs_is_read_by_its_number(world: ExecWorld) -> None:
    await lived(world, "web", "first", "second", "third")
    for words, out in (
        ("web", "third\n"), ("web --life 0", "third\n"), ("web -p", "second\n"),
        ("web --life 1", "second\n"), ("web main --life 2", "first\n"),
        ("web --life 2 --tail 0", ""), ("web --life 2 -f", "first\n"),
    ):  # fmt: skip
        said = await world.cluster.cubectl(f"logs {words}")
        assert (said.code, said.out) == (0, out), words
    stamped = (await world.cluster.cubectl("logs web --life 2 --timestamps")).out
    assert stamped.endswith("Z first\n")
    said = await world.cluster.cubectl("logs web --life 3")
    assert (said.code, "3 lives old container 'main'" in said.err) == (1, True)


async def test_the_log_of_a_deleted_pod_is_its_previous(world: ExecWorld) -> None:
    pod = await lived(world, "web", "first", "second")
    await deleted(world, pod)

    assert (await world.cluster.cubectl("logs web")).code == 1
    for words, out in (
        ("web -p", "second\n"), ("web --deleted", "second\n"), ("web --life 2", "first\n"),
        ("web main --deleted --life 2", "first\n"), ("web -p --limit-bytes 3", "sec"),
    ):  # fmt: skip
        said = await world.cluster.cubectl(f"logs {words}")
        assert (said.code, said.out) == (0, out), words
    for words, told in (
        ("web --life 3", "of container main only 2 are kept"),
        ("web other -p", "but of: [main]"),
        ("never -p", '"never" not found'),
    ):
        said = await world.cluster.cubectl(f"logs {words}")
        assert (said.code, told in said.err) == (1, True), said.err


async def test_a_pod_that_has_the_name_now_hides_what_is_deleted_until_that_is_asked_for(
    world: ExecWorld,
) -> None:
    await deleted(world, await lived(world, "web", "old"))
    await lived(world, "web", "new")

    assert (await world.cluster.cubectl("logs web")).out == "new\n"
    said = await world.cluster.cubectl("logs web -p")
    assert (said.code, "no previous container" in said.err) == (1, True)
    assert (await world.cluster.cubectl("logs web --deleted")).out == "old\n"


async def test_who_makes_a_namespace_anew_reads_nothing_of_the_one_before(
    world: ExecWorld,
) -> None:
    pod = await lived(world, "web", "secret")
    older = pod.metadata.creation_timestamp
    await deleted(world, pod)
    (kept,) = await world.kept.of_pod("default", "web")
    folder = world.folder / "kept"
    # As it lies where its pod was made before the namespace that there is now.
    before = kept.life._replace(made_at=kept.life.made_at - 3600)
    (folder / before.path).parent.parent.mkdir(parents=True)
    (folder / kept.life.path).parent.rename((folder / before.path).parent)

    assert older is not None
    assert (await world.cluster.cubectl("logs web -p")).code == 1


async def test_a_node_that_does_not_answer_may_have_it_and_that_is_told(world: ExecWorld) -> None:
    pod = await lived(world, "web", "first")
    node: Tree = a_node("n9")
    node["status"] = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}},
    }
    await world.call("POST", NODES, node)
    await world.call("PUT", f"{NODES}/n9/status", node)
    said = await world.cluster.cubectl("logs never -p")
    assert (said.code, "n9 did not answer" in said.err) == (1, True)
    query = (("previous", "true"),)
    asked = Request("GET", f"{PODS}/never/log", query, identity=ADMIN)
    answer = await world.server.handle(asked)
    # Clients that are told when to come again do, and each time every node would be asked.
    assert (answer.status, "Retry-After" in answer.headers) == (503, False)
    ready: Tree = {"type": "Ready", "status": "Unknown", "lastTransitionTime": None}
    node["status"]["conditions"] = [ready]
    await world.call("PUT", f"{NODES}/n9/status", node)
    said = await world.cluster.cubectl("logs never -p")
    assert (said.code, "n9 did not answer" in said.err) == (1, True)

    await deleted(world, pod)
    assert (await world.cluster.cubectl("logs web -p")).out == "first\n"


async def several(world: ExecWorld, name: str, annotations: Mapping[str, str]) -> Pod:
    """Let a pod run that has two containers; the first one says `first`, the other `second`."""
    images = {"main": f"{name}-first", "side": f"{name}-second"}
    for image in images.values():
        line = image.removeprefix(f"{name}-").encode() + b"\n"
        world.machine.behaviours[image] = Behaviour(output=(line,))
        world.machine.images.add(image)
    containers = [{"name": one, "image": image} for one, image in images.items()]
    tree: Tree = a_pod(name, containers=containers)
    tree["metadata"]["annotations"] = dict(annotations)
    await world.another_pod(tree, images["main"], name="main")
    pod = world.here.pods[-1]
    await world.another_life(pod, images["side"], attempt=0, name="side")
    return pod


async def test_of_several_containers_the_one_is_read_that_the_pod_meant(world: ExecWorld) -> None:
    await deleted(world, await several(world, "web", {}))
    note = {"kubectl.kubernetes.io/default-container": "side"}
    await deleted(world, await several(world, "noted", note))

    for name, wanted, line in (("web", "main", "first\n"), ("noted", "side", "second\n")):
        said = await world.cluster.cubectl(f"logs {name} -p")
        assert (said.code, said.out) == (0, line)
        assert f'Defaulted container "{wanted}" out of: main, side' in said.err
        named = await world.cluster.cubectl(f"logs {name} -p -c side")
        assert (named.code, named.out, named.err) == (0, "second\n", "")


async def test_of_several_containers_of_a_pod_that_nobody_knew_one_is_named(
    world: ExecWorld,
) -> None:
    pod = await several(world, "web", {})
    for life in list(world.machine.lives.values()):
        if life.container.pod_uid == pod.metadata.uid:
            await world.kept.keep(life.container, None)
            await world.runtime.remove(life.container.id)
    await deleted(world, pod)

    said = await world.cluster.cubectl("logs web -p")
    assert (said.code, "logs are kept of: [main side]" in said.err) == (1, True)
    assert (await world.cluster.cubectl("logs web -p -c side")).out == "second\n"


async def told_of(world: ExecWorld, pod: Pod, story: str) -> None:
    """Let the node keep a record of an end of a pod's container."""
    made = pod.metadata.creation_timestamp
    assert isinstance(made, datetime)
    life = Life("default", "web", int(made.timestamp()), pod.metadata.uid, "main", 0)
    told = PostMortem(uid=life.uid, made_at=life.made_at, container="main", attempt=0, story=story)
    await world.kept.stories.keep(life, told)


async def records(world: ExecWorld) -> list[str]:
    request = Request("GET", f"{PODS}/web/log", (("postMortem", "true"),), identity=ADMIN)
    answer = await world.server.handle(request)
    assert (answer.status, isinstance(answer.body, bytes)) == (200, True)
    assert isinstance(answer.body, bytes)
    return [one.story for one in codec.decode(PostMortemList, answer.body).items]


async def test_how_a_container_ended_is_told_of_the_pod_that_is_here_and_of_one_that_is_gone(
    world: ExecWorld,
) -> None:
    pod = await lived(world, "web", "first")
    assert await records(world) == []
    await told_of(world, pod, "it ran out of memory")
    assert await records(world) == ["it ran out of memory"]
    await deleted(world, pod)
    assert await records(world) == ["it ran out of memory"]
