"""Images of pods, pulled beside their workers: with logins, with progress, and let go of."""

import json
from dataclasses import replace

import pytest

from cubernetes.api.core.data.configdata import encoded
from cubernetes.api.core.event import Event
from cubernetes.api.core.parts.objectref import LocalObjectReference
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import ObjectMeta, replaced
from kubelet.runtime.driver import Login
from kubelet.runtime.fake import Behaviour
from tests.contract.kubelet.test_kubelet import IMAGE, World, a_world, lived
from tests.contract.kubelet.test_probes import ILL, LIVE, a_probe, is_ready, probed
from tests.given import a_container, a_pod

ANN, WORD = "ann", "pass-word-1"
GUARDED = "registry.example/far:1"


def a_guarded_world() -> dict[str, Behaviour]:
    return {GUARDED: Behaviour(login=Login(ANN, WORD))}


def a_pull_secret(name: str, password: str) -> Secret:
    entries = {"auths": {"registry.example": {"username": ANN, "password": password}}}
    return Secret(
        metadata=ObjectMeta(name=name, namespace="default"),
        type="kubernetes.io/dockerconfigjson",
        data={".dockerconfigjson": encoded(json.dumps(entries).encode())},
    )


def a_puller(name: str, *secrets: str) -> Pod:
    pod = a_pod(name, containers=(a_container("main", GUARDED),))
    refs = tuple(LocalObjectReference(name=one) for one in secrets)
    return replaced(pod, spec=replaced(pod.spec, image_pull_secrets=refs))


async def reasons_of(world: World, name: str) -> dict[str, str]:
    events = (await world.admin.list(Event, "default")).items
    return {one.reason: one.message for one in events if one.involved_object.name == name}


async def waits_for(world: World, reason: str, name: str = "web") -> str:
    """Return the message once the pod's container waits for that reason."""
    message = ""

    async def is_told() -> bool:
        nonlocal message
        statuses = (await world.pod(name)).status.container_statuses
        waiting = statuses[0].state.waiting if statuses else None
        message = waiting.message if waiting is not None else ""
        return waiting is not None and waiting.reason == reason

    await world.until(is_told)
    return message


def test_an_image_is_pulled_with_the_login_of_a_secret_that_its_pod_names() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.runtime.behaviours |= a_guarded_world()
            await world.admin.create(a_pull_secret("logins", WORD))
            await world.make(a_puller("web", "missing", "logins"))
            await world.until(lambda: world.is_phase("Running"))
            await world.env.clock.sleep(10)  # of the simulated clock: until events are written
            told = await reasons_of(world, "web")
            assert "(missing)" in told["FailedToRetrieveImagePullSecret"]
            assert told["Pulled"].startswith(f'Successfully pulled image "{GUARDED}" in ')

    lived(story)


def test_without_the_login_a_pull_fails_backs_off_and_tells_no_password() -> None:
    async def story() -> None:
        async with a_world() as world:
            world.machine.runtime.behaviours |= a_guarded_world()
            await world.admin.create(a_pull_secret("logins", "pass-word-2"))
            await world.make(a_puller("web", "logins"))
            message = await waits_for(world, "ImagePullBackOff")
            assert message.startswith(f'Back-off pulling image "{GUARDED}": ErrImagePull: ')
            assert "unauthorized" in message
            await world.env.clock.sleep(10)
            told = await reasons_of(world, "web")
            assert told["Failed"].startswith(f'Failed to pull image "{GUARDED}": ')
            assert "pass-word" not in f"{told}{(await world.pod()).status}"
            # The right one helps without the pod being made again.
            right = a_pull_secret("logins", WORD)
            live = await world.admin.get(Secret, "logins", "default")
            await world.admin.update(replaced(right, metadata=live.metadata))
            await world.until(lambda: world.is_phase("Running"))

    lived(story)


def test_a_container_that_waits_for_its_image_says_how_far_it_is() -> None:
    async def story() -> None:
        async with a_world(far=Behaviour(pull_s=60.0)) as world:
            far = a_container("main", "cubernetes/far:1")
            await world.make(a_pod("web", containers=(far, a_container("side"))))
            message = ""

            async def is_half_way() -> bool:
                nonlocal message
                statuses = (await world.pod()).status.container_statuses
                waits = [one.state.waiting for one in statuses if one.name == "main"]
                message = waits[0].message if waits and waits[0] else ""
                return "50%" in message

            await world.until(is_half_way)
            assert message == 'Pulling image "cubernetes/far:1": 50%'
            # Its sibling did not wait for it.
            by_name = {one.name: one for one in (await world.pod()).status.container_statuses}
            assert by_name["side"].ready
            await world.until(lambda: world.is_phase("Running"))

    lived(story)


def test_an_image_that_is_corrected_does_not_wait_for_the_one_before() -> None:
    async def story() -> None:
        async with a_world(wrong=Behaviour(pull_s=3000.0), far=Behaviour(pull_s=20.0)) as world:
            await world.make(a_pod("web", containers=(a_container("main", "cubernetes/wrong:1"),)))

            async def is_told(name: str) -> bool:
                return name in await waits_for(world, "ContainerCreating")

            await world.until(lambda: is_told("wrong:1"))
            patch = {"spec": {"containers": [{"name": "main", "image": "cubernetes/far:1"}]}}
            await world.admin.patch(Pod, "web", "default", patch)
            await world.until(lambda: is_told("far:1"))
            assert await world.until(lambda: world.is_phase("Running")) < 40

    lived(story)


def test_a_pod_that_is_deleted_does_not_wait_for_its_image() -> None:
    async def story() -> None:
        async with a_world(far=Behaviour(pull_s=3000.0)) as world:
            await world.make(a_pod("web", containers=(a_container("main", "cubernetes/far:1"),)))
            await waits_for(world, "ContainerCreating")
            await world.admin.delete(Pod, "web", "default")
            assert await world.until(world.is_gone) < 60

    lived(story)


async def has_begun_anew(world: World) -> bool:
    one = await world.container()
    return one.restart_count == 1 and one.state.running is not None


@pytest.mark.parametrize("pull_error", ["", "manifest unknown"])
def test_a_failed_liveness_is_a_failure_also_where_its_end_was_clean_and_an_image_is_fetched(
    pull_error: str,
) -> None:
    async def story() -> None:
        async with a_world(web=Behaviour(term_code=0, pull_s=20.0)) as world:
            pod = probed("OnFailure", liveness_probe=a_probe(LIVE))
            always = replaced(pod.spec.containers[0], image_pull_policy="Always")
            await world.make(replaced(pod, spec=replaced(pod.spec, containers=(always,))))
            await world.until(lambda: is_ready(world))
            behaviours = world.machine.runtime.behaviours
            behaviours[IMAGE] = replace(behaviours[IMAGE], pull_error=pull_error)
            world.machine.asker.ailing["web", LIVE] = ILL
            if pull_error:
                await waits_for(world, "ImagePullBackOff")
                behaviours[IMAGE] = replace(behaviours[IMAGE], pull_error="")
            await world.until(lambda: has_begun_anew(world))
            assert await world.is_phase("Running")
            ended = (await world.container()).last_state.terminated
            assert ended is not None
            assert ended.exit_code == 0

    lived(story)


@pytest.mark.parametrize("code", [0, 143])
def test_an_image_that_is_changed_to_a_far_one_runs_whatever_the_policy_and_the_code(
    code: int,
) -> None:
    async def story() -> None:
        far = Behaviour(pull_s=60.0)
        async with a_world(web=Behaviour(term_code=code), far=far) as world:
            pod = a_pod("web")
            await world.make(replaced(pod, spec=replaced(pod.spec, restart_policy="Never")))
            await world.until(lambda: world.is_phase("Running"))
            patch = {"spec": {"containers": [{"name": "main", "image": "cubernetes/far:1"}]}}
            await world.admin.patch(Pod, "web", "default", patch)
            assert "cubernetes/far:1" in await waits_for(world, "ContainerCreating")
            # A kubelet that begins again meanwhile knows it from the pod's record.
            await world.end()
            world.begin()
            await world.until(lambda: has_begun_anew(world))
            assert await world.is_phase("Running")

    lived(story)
