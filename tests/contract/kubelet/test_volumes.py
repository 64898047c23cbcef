"""Files of volumes follow ConfigMaps, Secrets and their pod: on a fake disk and virtual time."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from cubernetes.api.coding import codec
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.event import Event
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import VolumeMount
from cubernetes.api.core.podspec.volumes.volume import Volume
from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import replaced
from kubelet.pod.volumes import UnderWay
from kubelet.runtime.fake import Behaviour
from tests.contract.kubelet.test_kubelet import IMAGE, World, a_world, lived, settings_of
from tests.contract.kubelet.test_kubelet_objects import begin_cuttable, end_main, meta, waits_for
from tests.given import a_container, a_pod

UPDATE_S = 2.0  # until a change is in a running pod
NAMES = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}


def a_pod_of(name: str, volume: dict[str, Any]) -> Pod:
    pod = a_pod(name)
    read = msgspec.convert({"name": "files", **volume}, Volume)
    mount = VolumeMount(name="files", mount_path="/files")
    container = replaced(a_container("main", IMAGE), volume_mounts=(mount,))
    return replaced(pod, spec=replaced(pod.spec, volumes=(read,), containers=(container,)))


async def files_of(world: World, pod: str = "web") -> Mapping[str, bytes]:
    uid = (await world.pod(pod)).metadata.uid
    files = world.machine.disk.files.get((uid, "files"), {})
    return {path: file.content for path, file in files.items()}


async def told(world: World, reason: str) -> list[str]:
    events = (await world.admin.list(Event, "default")).items
    return [one.message for one in events if one.reason == reason]


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_a_change_of_an_object_is_in_the_pods_files_within_two_seconds(kind: str) -> None:
    async def story() -> None:
        async with a_world() as world:
            one: ConfigMap | Secret
            volume: dict[str, Any] = {"configMap": {"name": "shop"}}
            one = ConfigMap(metadata=meta("shop"), data={"a": "1"})
            if kind == "Secret":
                one = Secret(metadata=meta("shop"), string_data={"a": "1"})
                volume = {"secret": {"secretName": "shop"}}
            await world.admin.create(one)
            await world.make(a_pod_of("web", volume))
            await world.until(lambda: world.is_phase("Running"))
            assert await files_of(world) == {"a": b"1"}
            before = world.machine.running()

            live = await world.admin.get(type(one), "shop", "default")
            field = "string_data" if kind == "Secret" else "data"
            await world.admin.update(replaced(live, **{field: {"a": "2", "b": "3"}}))

            async def is_new() -> bool:
                return await files_of(world) == {"a": b"2", "b": b"3"}

            assert await world.until(is_new) < UPDATE_S
            assert world.machine.running() == before

    lived(story)


def test_labels_that_change_are_in_the_pods_files() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.make(a_pod_of("web", {"downwardAPI": {"items": [NAMES]}}))
            await world.until(lambda: world.is_phase("Running"))
            meta = (await world.pod()).metadata
            labels = {"metadata": {"labels": {"app": "shop"}}}
            await world.admin.patch(Pod, meta.name, meta.namespace, labels)

            async def is_new() -> bool:
                return await files_of(world) == {"labels": b'app="shop"'}

            assert await world.until(is_new) < UPDATE_S

    lived(story)


def test_a_pod_waits_for_what_its_volume_requires_and_starts_as_soon_as_it_is_there() -> None:
    async def story() -> None:
        async with a_world() as world:
            items = [{"key": "a", "path": "a"}]
            await world.make(a_pod_of("web", {"configMap": {"name": "shop", "items": items}}))
            reason = 'volume files: configmap "shop" not found'
            assert await waits_for(world, "ContainerCreating") in ("", reason)

            async def is_told() -> bool:
                return reason in await told(world, "FailedMount")

            await world.until(is_told)
            # Long enough for the kubelet's own pause between two tries to be a minute.
            await world.env.clock.sleep(300)
            assert await waits_for(world, "ContainerCreating") == reason
            await world.admin.create(ConfigMap(metadata=meta("shop"), data={"b": "2"}))

            async def lacks_key() -> bool:
                message = await waits_for(world, "ContainerCreating")
                return message == 'volume files: configmap "shop" has no key "a"'

            assert await world.until(lacks_key) < UPDATE_S
            live = await world.admin.get(ConfigMap, "shop", "default")
            await world.admin.update(replaced(live, data={"a": "1"}))
            assert await world.until(lambda: world.is_phase("Running")) < UPDATE_S
            assert await files_of(world) == {"a": b"1"}

    lived(story)


def test_a_part_that_a_configmap_lacks_holds_up_no_pod_and_is_told() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.admin.create(ConfigMap(metadata=meta("shop"), data={"a": "1"}))
            pod = a_pod_of("web", {"configMap": {"name": "shop"}})
            mounts = tuple(
                VolumeMount(name="files", mount_path=f"/etc/{key}", sub_path=key) for key in "ab"
            )
            container = replaced(pod.spec.containers[0], volume_mounts=mounts)
            await world.make(replaced(pod, spec=replaced(pod.spec, containers=(container,))))
            await world.until(lambda: world.is_phase("Running"))

            async def is_told() -> bool:
                return await told(world, "SubPathMissing") == [
                    "volume files has no b: /etc/b is an empty folder"
                ]

            await world.until(is_told)
            assert await told(world, "FailedMount") == []

    lived(story)


def test_an_object_that_goes_leaves_its_files_to_the_pod_that_runs_and_is_told() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.admin.create(ConfigMap(metadata=meta("shop"), data={"a": "1"}))
            await world.make(a_pod_of("web", {"configMap": {"name": "shop"}}))
            await world.until(lambda: world.is_phase("Running"))
            await world.admin.delete(ConfigMap, "shop", "default")

            async def is_told() -> bool:
                return await told(world, "FailedMount") != []

            await world.until(is_told)
            assert await files_of(world) == {"a": b"1"}
            assert await world.is_phase("Running")
            await world.admin.create(ConfigMap(metadata=meta("shop"), data={"a": "2"}))

            async def is_new() -> bool:
                return await files_of(world) == {"a": b"2"}

            assert await world.until(is_new) < UPDATE_S

    lived(story)


def test_a_container_starts_again_while_the_api_is_down_also_by_a_kubelet_that_began_anew() -> None:
    async def story() -> None:
        async with a_world(web=Behaviour()) as world:
            await world.admin.create(Secret(metadata=meta("login"), string_data={"a": "1"}))
            await world.make(a_pod_of("web", {"secret": {"secretName": "login"}}))
            await world.until(lambda: world.is_phase("Running"))

            async def is_saved() -> bool:
                return world.machine.disk.pods != ()

            await world.until(is_saved)
            await world.end()
            transport = begin_cuttable(world)
            transport.is_cut = True
            await end_main(world, "web")
            assert list(world.machine.disk.files.values()) != []
            kept = b"".join(codec.encode(one) for one in world.machine.disk.pods)
            assert b"login" in kept
            transport.is_cut = False

            # A change that came meanwhile is found by the kubelet that began anew.
            live = await world.admin.get(Secret, "login", "default")
            await world.admin.update(replaced(live, string_data={"a": "2"}))

            async def is_new() -> bool:
                return await files_of(world) == {"a": b"2"}

            await world.until(is_new)

    lived(story)


def test_nothing_of_a_secret_is_told_or_left_behind() -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.admin.create(Secret(metadata=meta("login"), string_data={"a": "hunter2"}))
            items = [{"key": "b", "path": "b"}]
            await world.make(a_pod_of("web", {"secret": {"secretName": "login"}}))
            missing = {"secret": {"secretName": "login", "items": items}}
            await world.make(a_pod_of("waits", missing))
            await world.until(lambda: world.is_phase("Running"))
            await waits_for(world, "ContainerCreating", "waits")

            async def is_told() -> bool:
                return await told(world, "FailedMount") != []

            await world.until(is_told)
            events = (await world.admin.list(Event, "default")).items
            pods = (await world.admin.list(Pod, "default")).items
            said = b"".join(codec.encode(one) for one in (*events, *pods, *world.machine.disk.pods))
            for text in (b"hunter2", b"aHVudGVyMg"):
                assert text not in said
            assert (await files_of(world))["a"] == b"hunter2"
            await world.admin.delete(Pod, "web", "default")
            await world.until(world.is_gone)
            assert world.machine.disk.files == {}

    lived(story)


def test_a_volume_that_takes_long_is_gone_on_with_at_once_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with a_world() as world:
            count, kind = 0, type(world.machine.disk)
            whole = kind.prepare

            async def in_portions(*args: Any, **options: Any) -> Mapping[str, str]:
                nonlocal count
                count += 1
                if count <= 20:
                    raise UnderWay(f"volume files: {count} files given to group 2000 so far")
                return await whole(*args, **options)

            monkeypatch.setattr(kind, "prepare", in_portions)
            await world.make(a_pod_of("web", {"emptyDir": {}}))

            async def is_told() -> bool:
                return "so far" in await waits_for(world, "ContainerCreating")

            await world.until(is_told)
            # Twenty failures would be a quarter of an hour.
            assert await world.until(lambda: world.is_phase("Running")) < 20
            await world.env.clock.sleep(10)
            assert await told(world, "FailedMount") == []

    lived(story)


def test_volumes_are_made_while_the_sandbox_starts_of_what_they_are_when_containers_do() -> None:
    async def story() -> None:
        async with a_world() as world:
            behaviours = world.machine.runtime.behaviours
            behaviours[settings_of(world.machine).pause_image] = Behaviour(start_s=30.0)
            behaviours[IMAGE] = Behaviour(exits_after_s=0.0)  # before a look could mend its files
            await world.admin.create(ConfigMap(metadata=meta("shop"), data={"a": "1"}))
            pod = a_pod_of("web", {"configMap": {"name": "shop"}})
            await world.make(replaced(pod, spec=replaced(pod.spec, restart_policy="Never")))

            async def is_made() -> bool:
                return await files_of(world) == {"a": b"1"}

            assert await world.until(is_made) < UPDATE_S
            assert world.machine.running() == []
            live = await world.admin.get(ConfigMap, "shop", "default")
            await world.admin.update(replaced(live, data={"a": "2"}))
            await world.until(lambda: world.is_phase("Succeeded"))
            assert await files_of(world) == {"a": b"2"}

    lived(story)
