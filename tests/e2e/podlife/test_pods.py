"""What becomes of pods on real nodes: how they end, are restarted, held up, killed and replaced."""

import asyncio
from collections.abc import Iterator

import pytest

from cubernetes.api.condition import is_true
from cubernetes.api.core.pod import Pod
from cubernetes.client.rest import Client
from tests.e2e.cluster import Cluster, until
from tests.e2e.conftest import finished
from tests.e2e.pods import (
    SLEEP,
    STRESS,
    STUBBORN,
    containers_of,
    found,
    logs,
    made_namespace,
    pod,
    process_of,
    records_of,
    removed_namespace,
    shell,
    status_of,
    until_gone,
    until_out_of_memory,
    until_phase,
    until_waiting,
)

pytestmark = [pytest.mark.lab]

ABSENT = "cubernetes/absent:9"
FAIL_TWICE = "echo x >> /d/tries; echo try $(wc -l < /d/tries); [ $(wc -l < /d/tries) -ge 3 ]"
PRINT_ALL = 'echo "$0 $# $* $GREETING $(pwd)"'


def zoo() -> list[Pod]:
    """Return the pods that live and die by themselves: made at once, looked at one by one."""
    kept = [{"name": "d", "emptyDir": {}}]
    at_d = [{"name": "d", "mountPath": "/d"}]
    limit = {"limits": {"memory": "32Mi"}}
    hog = {"name": "main", "image": STRESS, "args": ["-memory", "200"], "resources": limit}
    greeting = [{"name": "GREETING", "value": "$HOME a=b 'c'"}]
    bad = {"name": "bad", "image": ABSENT}
    never = {"name": "main", "image": ABSENT, "imagePullPolicy": "Never"}
    return [
        pod("exit-0", [shell("exit 0")], restartPolicy="Never"),
        pod("exit-3", [shell("echo last words; exit 3")], restartPolicy="Never"),
        pod("signalled", [shell("sh -c 'kill -SEGV $$$$'; exit $?")], restartPolicy="Never"),
        pod("hog", [hog], restartPolicy="Never"),
        pod("looping", [shell("echo life; exit 1")]),
        pod(
            "persistent",
            [shell(FAIL_TWICE, volumeMounts=at_d)],
            restartPolicy="OnFailure",
            volumes=kept,
        ),
        pod(
            "words",
            [
                {
                    "name": "main",
                    "image": "cubernetes/busybox:1",
                    "command": ["sh", "-c"],
                    "args": [PRINT_ALL, "zero", "one two", "*"],
                    "env": greeting,
                    "workingDir": "/usr/bin",
                },
                # The image's ENTRYPOINT is /web: command replaces it, and its CMD with it.
                {"name": "replaced", "image": "cubernetes/web:1", "command": ["/web", "-nonsense"]},
            ],
            restartPolicy="Never",
        ),
        pod("half", [shell(SLEEP), bad]),
        pod("unpulled", [never]),
        pod("talker", [shell("for i in 1 2 3; do echo line $i; done; " + SLEEP)]),
    ]


@pytest.fixture(scope="module", autouse=True)
def animals(cluster: Cluster) -> Iterator[None]:
    """Make all pods of the zoo at once; take the whole namespace away at the end."""

    async def make() -> None:
        async with cluster.client() as client:
            await made_namespace(client, "zoo")
            for one in zoo():
                await client.create(one)

    async def unmake() -> None:
        async with cluster.client() as client:
            await removed_namespace(client, "zoo")

    finished(make())
    yield
    finished(unmake())


async def test_w20_exit_codes_are_told_and_decide_the_phase(client: Client) -> None:
    done = status_of(await until_phase(client, "exit-0", "Succeeded")).state.terminated
    failed = status_of(await until_phase(client, "exit-3", "Failed")).state.terminated
    signalled = status_of(await until_phase(client, "signalled", "Failed")).state.terminated
    assert done is not None
    assert failed is not None
    assert signalled is not None
    assert (done.exit_code, done.reason) == (0, "Completed")
    assert (failed.exit_code, failed.signal, failed.reason) == (3, 0, "Error")
    assert (signalled.exit_code, signalled.signal) == (139, 11)
    assert failed.started_at is not None
    assert failed.finished_at is not None
    assert failed.finished_at >= failed.started_at
    assert await logs(client, "exit-3") == "last words\n"


async def test_a_container_beyond_its_memory_limit_is_told_as_oomkilled(client: Client) -> None:
    await until_out_of_memory(client, "hog")


async def test_w22_a_container_that_always_fails_is_restarted_with_back_off(client: Client) -> None:
    one = await until_waiting(client, "looping", "CrashLoopBackOff")

    async def is_again() -> bool:
        return status_of(await client.get(Pod, "looping", "zoo")).restart_count >= 3

    await until("a third restart", is_again)
    one = await until_waiting(client, "looping", "CrashLoopBackOff")
    status = status_of(one)
    assert one.status.phase == "Running"
    assert not is_true(one.status.conditions, "Ready")
    assert status.last_state.terminated is not None
    assert status.last_state.terminated.exit_code == 1
    assert await logs(client, "looping", previous=True) == "life\n"


async def test_w22_onfailure_restarts_in_place_until_it_succeeds(client: Client) -> None:
    one = await until_phase(client, "persistent", "Succeeded")
    assert status_of(one).restart_count == 2
    # The volume has outlived the containers, and the log is the last one's.
    assert await logs(client, "persistent") == "try 3\n"


async def test_command_args_env_and_folder_reach_the_process_as_they_are(client: Client) -> None:
    one = await until_phase(client, "words", "Failed")
    assert await logs(client, "words", "main") == "zero 2 one two * $HOME a=b 'c' /usr/bin\n"
    refused = status_of(one, "replaced").state.terminated
    assert refused is not None
    assert refused.exit_code == 2
    assert "usage" in await logs(client, "words", "replaced")


async def test_w21_a_missing_image_is_told_with_its_reason_and_holds_up_no_sibling(
    client: Client,
) -> None:
    one = await until_waiting(client, "half", "ImagePullBackOff", "bad")
    waiting = status_of(one, "bad").state.waiting
    assert waiting is not None
    assert ABSENT.partition(":")[0] in waiting.message
    assert one.status.phase == "Pending"

    async def runs() -> bool:
        return status_of(await client.get(Pod, "half", "zoo")).state.running is not None

    await until("its sibling runs", runs)

    async def are_told() -> bool:
        told = [each for each in await records_of(client, "half") if each.type == "Warning"]
        return any(ABSENT.partition(":")[0] in each.message for each in told)

    await until("an event tells of the image", are_told)


async def test_a_pull_policy_of_never_is_heeded(client: Client) -> None:
    one = await until_waiting(client, "unpulled", "ErrImageNeverPull")
    assert "pull policy is Never" in str(status_of(one).state.waiting)


async def test_logs_can_be_cut_stamped_and_followed(client: Client) -> None:
    await until_phase(client, "talker", "Running")

    async def has_spoken() -> bool:
        return "line 3" in await logs(client, "talker")

    await until("three lines", has_spoken)
    assert await logs(client, "talker", tail=2) == "line 2\nline 3\n"
    stamped = (await logs(client, "talker", tail=1, timestamps=True)).split()
    assert stamped[0].endswith("Z")
    assert stamped[1:] == ["line", "3"]
    following = client.log("talker", "zoo", follow=True)
    heard = b""
    async with asyncio.timeout(60):
        async for piece in following:
            heard += piece
            if b"line 3" in heard:
                break
    await following.aclose()
    assert heard == b"line 1\nline 2\nline 3\n"


async def test_followed_logs_end_when_the_container_does(cluster: Cluster, client: Client) -> None:
    script = "echo one; until [ -e /go ]; do sleep 0.1; done; echo two"
    await client.create(pod("brief", [shell(script)], restartPolicy="Never"))
    one = await until_phase(client, "brief", "Running")
    (container,) = await containers_of(cluster, one, "main")
    heard = b""
    async with asyncio.timeout(60):
        async for piece in client.log("brief", "zoo", follow=True):
            if not heard:
                argv = ["docker", "exec", container, "touch", "/go"]
                await cluster.run(one.spec.node_name, argv)
            heard += piece
    assert heard == b"one\ntwo\n"


async def test_w52_a_container_that_ignores_term_is_killed_at_its_grace_and_holds_up_nobody(
    cluster: Cluster, client: Client
) -> None:
    on_n2 = {"nodeName": "n2"}
    graces = {"deaf": 8, "deafer": 600}
    for name, grace_s in graces.items():
        wish = pod(name, [shell(STUBBORN)], terminationGracePeriodSeconds=grace_s, **on_n2)
        await client.create(wish)
    deaf = [await until_phase(client, name, "Running") for name in graces]
    for name in graces:
        await client.delete(Pod, name, "zoo")
    ends = asyncio.ensure_future(until_gone(client, "deaf"))
    await client.create(pod("quick", [shell(SLEEP)], **on_n2))
    await until_phase(client, "quick", "Running")
    await client.delete(Pod, "quick", "zoo")
    quick_s = await until_gone(client, "quick")
    spent_s = await ends
    print(f"quick gone after {quick_s:.1f} s, deaf after {spent_s:.1f} s")  # noqa: T201  a figure
    assert spent_s > graces["deaf"] - 2
    assert not await containers_of(cluster, deaf[0])
    # The others came and went while this one was in its grace.
    assert await containers_of(cluster, deaf[1])
    await client.delete(Pod, "deafer", "zoo", grace_s=0)


async def test_a_forced_deletion_frees_the_name_at_once_and_the_node_soon(
    cluster: Cluster, client: Client
) -> None:
    wish = pod("forced", [shell(STUBBORN)], terminationGracePeriodSeconds=60, nodeName="n3")
    await client.create(wish)
    one = await until_phase(client, "forced", "Running")
    await client.delete(Pod, "forced", "zoo", grace_s=0)
    assert await found(client, "forced") is None
    await client.create(wish)  # the name is free

    async def is_stopped() -> bool:
        return not await containers_of(cluster, one)

    await until("containers of the forced pod stopped", is_stopped)
    again = await until_phase(client, "forced", "Running")
    assert again.metadata.uid != one.metadata.uid
    await client.delete(Pod, "forced", "zoo", grace_s=0)


async def test_w4_a_pod_whose_sandbox_is_killed_is_remade_as_a_whole(
    cluster: Cluster, client: Client
) -> None:
    await client.create(pod("boxed", [shell(SLEEP), shell(SLEEP, "second")], nodeName="n2"))
    one = await until_phase(client, "boxed", "Running")
    kubelet = await cluster.pid_of("n2", "kubelet")
    (sandbox,) = await containers_of(cluster, one, "POD")
    await cluster.run("n2", ["docker", "kill", sandbox])

    async def is_remade() -> bool:
        now = await client.get(Pod, "boxed", "zoo")
        ids = await containers_of(cluster, now)
        return len(ids) == 3 and sandbox not in ids and is_true(now.status.conditions, "Ready")

    spent_s = await until("sandbox and both containers are new", is_remade)
    print(f"sandbox killed, pod remade after {spent_s:.1f} s")  # noqa: T201  a figure
    now = await client.get(Pod, "boxed", "zoo")
    assert [each.restart_count for each in now.status.container_statuses] == [1, 1]
    assert now.status.pod_ip
    assert await cluster.pid_of("n2", "kubelet") == kubelet


@pytest.mark.parametrize("victim", ["process", "shim", "shim while containerd is down"])
async def test_a_container_killed_behind_dockers_back_is_seen_and_started_again(
    cluster: Cluster, client: Client, victim: str
) -> None:
    await client.create(pod("victim", [shell(SLEEP)], nodeName="n3"))
    one = await until_phase(client, "victim", "Running")
    (container,) = await containers_of(cluster, one, "main")
    pid = await process_of(cluster, "n3", container)
    await cluster.run("n3", ["sh", "-c", KILL[victim], "sh", str(pid)])

    async def is_seen() -> bool:
        status = status_of(await client.get(Pod, "victim", "zoo"))
        return not status.ready or status.restart_count == 1

    async def is_restarted() -> bool:
        status = status_of(await client.get(Pod, "victim", "zoo"))
        return status.restart_count == 1 and status.ready

    seen_s = await until("its end is seen", is_seen)
    # Docker takes up to 10 s to start its own containerd again.
    spent_s = seen_s + await until("the container runs again", is_restarted)
    print(f"{victim}: seen after {seen_s:.1f} s, runs again after {spent_s:.1f} s")  # noqa: T201  a figure
    ended = status_of(await client.get(Pod, "victim", "zoo")).last_state.terminated
    assert ended is not None
    assert (ended.exit_code, ended.signal) == (137, 9)
    await client.delete(Pod, "victim", "zoo")
    await until_gone(client, "victim")


SHIM_OF = "shim=$(awk '/^PPid/{print $2}' /proc/$1/status)"
KILL = {
    "process": "kill -9 $1",
    # The shim's children die with it: the kubelet shares its fate with nobody.
    "shim": f"{SHIM_OF}; kill -9 $shim; kill -9 $1",
    "shim while containerd is down": (
        f"{SHIM_OF}; kill -9 $(cat /run/docker/containerd/containerd.pid); "
        "kill -9 $shim; kill -9 $1"
    ),
}
