"""Containers that are added to a pod to look into it, on a fake runtime and virtual time."""

from cubernetes.api.condition import is_true
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podstatus import ContainerStatus
from cubernetes.api.meta import replaced
from cubernetes.host.web.messages import Identity, Request
from kubelet.runtime.driver import SANDBOX, State
from kubelet.runtime.fake import Behaviour
from tests.contract.kubelet.test_kubelet import World, a_world, lived
from tests.contract.kubelet.test_probes import reasons
from tests.given import a_pod

LOOK = "cubernetes/look:1"
ADMIN = Identity("kubernetes-admin", ("system:masters",))


async def look_into(world: World, *names: str, **fields: object) -> None:
    """Add what is not there yet of these; without a name, of one that is called look."""
    added = [{"name": name, "image": LOOK, **fields} for name in names or ("look",)]
    change = {"spec": {"ephemeralContainers": added}}
    await world.admin.patch(Pod, "web", "default", change, subresource="ephemeralcontainers")


async def told(world: World) -> ContainerStatus | None:
    return next(iter((await world.pod()).status.ephemeral_container_statuses), None)


async def runs(world: World) -> bool:
    one = await told(world)
    return one is not None and one.state.running is not None


async def has_ended(world: World) -> bool:
    one = await told(world)
    return one is not None and one.state.terminated is not None


def running(world: World, name: str) -> list[str]:
    lives = world.machine.runtime.lives.values()
    here = (one.container for one in lives if one.is_running)
    return [one.id for one in here if one.name == name]


def a_pod_of(policy: str) -> Pod:
    pod = a_pod("web")
    return replaced(pod, spec=replaced(pod.spec, restart_policy=policy))


def test_one_is_added_to_a_pod_that_runs_and_counts_for_nothing_of_it() -> None:
    async def story() -> None:
        async with a_world(look=Behaviour(exits_after_s=20.0, exit_code=3)) as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            (main,) = running(world, "main")
            await look_into(world)
            await world.until(lambda: runs(world))
            assert await reasons(world, "Started")

            await world.until(lambda: has_ended(world))
            await world.env.clock.sleep(120)
            one = await told(world)
            assert one is not None
            assert one.state.terminated is not None
            assert (one.state.terminated.exit_code, one.restart_count, one.ready) == (3, 0, False)
            status = (await world.pod()).status
            assert status.phase == "Running"
            assert is_true(status.conditions, "Ready")
            assert running(world, "main") == [main]

    lived(story)


def test_it_is_found_again_by_a_kubelet_that_begins_again_and_ends_with_its_pod() -> None:
    async def story() -> None:
        async with a_world(look=Behaviour(ignores_term=True)) as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            await look_into(world)
            await world.until(lambda: runs(world))
            before = running(world, "look")
            await world.end()
            world.begin()
            await world.env.clock.sleep(60)
            assert running(world, "look") == before

            await world.admin.delete(Pod, "web", "default")
            # It has no grace of its own, whatever it makes of a signal.
            assert await world.until(world.is_gone) < 10
            assert world.machine.runtime.lives == {}

    lived(story)


def test_one_shares_the_processes_of_its_target_as_they_are_when_it_starts() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            await look_into(world, targetContainerName="main")
            await world.until(lambda: runs(world))
            lives = world.machine.runtime.lives.values()
            (look,) = (one for one in lives if one.container.name == "look")
            assert look.target_id == running(world, "main")[0]

    lived(story)


def test_a_pod_that_failed_keeps_its_network_while_one_looks_into_it() -> None:
    async def story() -> None:
        async with a_world(web=Behaviour(exits_after_s=5.0, exit_code=1)) as world:
            await world.make(a_pod_of("Never"))
            await world.until(lambda: world.is_phase("Running"))
            await look_into(world)
            await world.until(lambda: world.is_phase("Failed"))
            await world.env.clock.sleep(60)
            assert running(world, "look")
            assert running(world, SANDBOX)
            assert (await world.pod()).status.pod_ip

            world.machine.runtime.end(running(world, "look")[0], 0)
            await world.until(lambda: _is_let_go(world))

            await look_into(world, "look", "late")
            await world.until(lambda: _runs_late(world))
            assert (await world.pod()).status.phase == "Failed"

    lived(story)


async def _is_let_go(world: World) -> bool:
    return not world.machine.running()


async def _runs_late(world: World) -> bool:
    return bool(running(world, "late")) and not running(world, "main")


def test_one_that_is_taken_out_again_is_ended_and_leaves_nothing() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(a_pod("web"))
            await world.until(lambda: world.is_phase("Running"))
            await look_into(world)
            await world.until(lambda: runs(world))
            path = "/api/v1/namespaces/default/pods/web/ephemeralcontainers"
            removal = Request("DELETE", path, (("container", "look"),), identity=ADMIN)
            assert (await world.server.handle(removal)).status == 200

            async def is_taken_out() -> bool:
                return await told(world) is None

            await world.until(is_taken_out)
            await world.env.clock.sleep(10)
            names = [one.container.name for one in world.machine.runtime.lives.values()]
            assert sorted(names) == [SANDBOX, "main"]
            lives = world.machine.runtime.lives.values()
            assert all(one.container.state is State.RUNNING for one in lives)

    lived(story)
