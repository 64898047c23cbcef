"""Images of pods, pulled beside their workers: with logins, with progress, and let go of."""

import json

from cubernetes.api.core.data.configdata import encoded
from cubernetes.api.core.event import Event
from cubernetes.api.core.objectref import LocalObjectReference
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import ObjectMeta, replaced
from kubelet.runtime.driver import Login
from kubelet.runtime.fake import Behaviour
from tests.contract.kubelet.test_kubelet import World, a_world, lived
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


def test_a_pod_that_is_deleted_does_not_wait_for_its_image() -> None:
    async def story() -> None:
        async with a_world(far=Behaviour(pull_s=3000.0)) as world:
            await world.make(a_pod("web", containers=(a_container("main", "cubernetes/far:1"),)))
            await waits_for(world, "ContainerCreating")
            await world.admin.delete(Pod, "web", "default")
            assert await world.until(world.is_gone) < 60

    lived(story)
