"""What containers are given from ConfigMaps, Secrets, services and their pod; on virtual time."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from cubernetes.api.coding import codec
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.event import Event
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.secret import Secret
from cubernetes.api.core.service import Service, ServicePort
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.client.outcome import Unreachable
from cubernetes.host.web.messages import Request, Response
from kubelet.runtime.fake import Behaviour
from tests.contract.kubelet.test_kubelet import (
    IMAGE,
    KUBELET,
    World,
    a_world,
    lived,
    settings_of,
)
from tests.direct import DirectTransport
from tests.given import a_container, a_pod, a_service

FIELD_PATHS = {
    "POD": "metadata.name",
    "SPACE": "metadata.namespace",
    "NODE": "spec.nodeName",
    "IP": "status.podIP",
    "HOST": "status.hostIP",
    "APP": "metadata.labels['app']",
    "NOTE": "metadata.annotations['note']",
    "NONE": "metadata.labels['absent']",
}
VARIABLES: list[dict[str, Any]] = [
    {"name": "B", "value": "$(P_A), over all"},
    {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "B"}}},
    {
        "name": "PASSWORD",
        "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}},
    },
    {
        "name": "MAYBE",
        "valueFrom": {
            "secretKeyRef": {"name": "no", "key": "no", "optional": True},
        },
    },
    *(
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in FIELD_PATHS.items()
    ),
]


def meta(name: str, namespace: str = "default") -> ObjectMeta:
    return ObjectMeta(name=name, namespace=namespace)


def a_reading_pod(name: str, links: bool = True, **fields: Any) -> Pod:
    """Return a pod whose container has these fields, as a manifest has them."""
    tree = {"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", **fields}
    container = msgspec.convert(tree, Container)
    pod = a_pod(name, containers=(container,))
    labelled = replaced(pod.metadata, labels={"app": "web"}, annotations={"note": "a note"})
    spec = replaced(pod.spec, enable_service_links=links)
    return replaced(pod, metadata=labelled, spec=spec)


def environment(world: World, pod: str = "web") -> Mapping[str, str]:
    """Return the variables of the pod's newest container."""
    lives = [one for one in world.machine.runtime.lives.values() if one.container.name == "main"]
    of_pod = [one for one in lives if one.container.pod_name == pod]
    return max(of_pod, key=lambda one: one.container.attempt).env


async def waits_for(world: World, reason: str, pod: str = "web") -> str:
    """Wait until the pod's container waits for a reason; return the message."""

    async def is_waiting() -> bool:
        statuses = (await world.pod(pod)).status.container_statuses
        waiting = statuses[0].state.waiting if statuses else None
        return waiting is not None and waiting.reason == reason

    await world.until(is_waiting)
    waiting = (await world.container(pod)).state.waiting
    assert waiting is not None
    return waiting.message


@pytest.mark.parametrize("ends", [False, True], ids=["it lives", "the kubelet ends"])
def test_variables_are_those_of_the_start_though_it_was_made_before(ends: bool) -> None:
    async def story() -> None:
        async with a_world() as world:
            made = ConfigMap(metadata=meta("settings"), data={"A": "before"})
            await world.admin.create(made)
            pause = settings_of(world.machine).pause_image
            world.machine.runtime.behaviours[pause] = Behaviour(start_s=30.0)
            sources = [{"configMapRef": {"name": "settings"}}]
            await world.make(a_reading_pod("web", envFrom=sources))

            async def is_made() -> bool:
                return len(world.machine.runtime.lives) == 2

            await world.until(is_made)
            assert environment(world)["A"] == "before"
            await world.admin.patch(ConfigMap, "settings", "default", {"data": {"A": "after"}})
            if ends:
                await world.end()
                world.begin()
            await world.until(lambda: world.is_phase("Running"))
            assert environment(world)["A"] == "after"
            assert len(world.machine.runtime.lives) == 2

    lived(story)


def test_variables_come_from_configmaps_secrets_and_the_pod() -> None:
    async def story() -> None:
        async with a_world() as world:
            data = {"A": "from all", "B": "b", "1BAD": "x"}
            await world.admin.create(ConfigMap(metadata=meta("settings"), data=data))
            secret = Secret(metadata=meta("login"), string_data={"password": "s3cret"})
            await world.admin.create(secret)
            sources = [
                {"prefix": "P_", "configMapRef": {"name": "settings"}},
                {"configMapRef": {"name": "settings"}},
                {"secretRef": {"name": "login"}},
                {"secretRef": {"name": "absent", "optional": True}},
            ]
            await world.make(a_reading_pod("web", env=VARIABLES, envFrom=sources))
            await world.until(lambda: world.is_phase("Running"))

            pod, found = await world.pod(), environment(world)
            assert {key: found[key] for key in (*FIELD_PATHS, "KEY", "PASSWORD", "B")} == {
                "POD": "web",
                "SPACE": "default",
                "NODE": "n1",
                "IP": pod.status.pod_ip,
                "HOST": world.machine.address,
                "APP": "web",
                "NOTE": "a note",
                "NONE": "",
                "KEY": "b",
                "PASSWORD": "s3cret",
                "B": "from all, over all",
            }
            assert (found["P_A"], found["A"], found["password"]) == (
                "from all",
                "from all",
                "s3cret",
            )
            assert "MAYBE" not in found
            assert found["P_1BAD"] == "x"
            assert "1BAD" not in found

            async def is_told() -> bool:
                events = (await world.admin.list(Event, "default")).items
                return any(one.reason == "InvalidEnvironmentVariableNames" for one in events)

            await world.until(is_told)

    lived(story)


def test_a_container_waits_for_what_it_names_and_starts_once_it_is_there() -> None:
    async def story() -> None:
        async with a_world() as world:
            ref = {"secretKeyRef": {"name": "login", "key": "password"}}
            await world.make(a_reading_pod("web", env=[{"name": "P", "valueFrom": ref}]))
            message = await waits_for(world, "CreateContainerConfigError")
            assert message == 'secret "login" not found'
            await world.admin.create(Secret(metadata=meta("login")))

            async def has_no_key() -> bool:
                told = await waits_for(world, "CreateContainerConfigError")
                return told == "couldn't find key password in Secret default/login"

            await world.until(has_no_key)
            secret = await world.admin.get(Secret, "login", "default")
            await world.admin.update(replaced(secret, string_data={"password": "x"}))
            await world.until(lambda: world.is_phase("Running"))
            assert environment(world)["P"] == "x"

    lived(story)


def test_a_sibling_starts_though_one_container_lacks_its_settings() -> None:
    async def story() -> None:
        async with a_world() as world:
            pod = a_reading_pod("web", envFrom=[{"configMapRef": {"name": "absent"}}])
            both = (*pod.spec.containers, a_container("side", IMAGE))
            await world.make(replaced(pod, spec=replaced(pod.spec, containers=both)))
            await waits_for(world, "CreateContainerConfigError")

            async def runs() -> bool:
                return [one for one in world.machine.running() if one[1] == "side"] != []

            await world.until(runs)

    lived(story)


async def make_services(world: World) -> None:
    ports = (ServicePort(port=80, name="web"), ServicePort(port=53, name="dns", protocol="UDP"))
    for one in (
        a_service("my-shop", ports=ports, cluster_ip=""),
        a_service("headless", cluster_ip="None"),
    ):
        fresh = replaced(one.metadata, uid="", resource_version="", creation_timestamp=None)
        await world.admin.create(replaced(one, metadata=fresh))


def test_containers_find_the_services_that_exist_when_they_start() -> None:
    async def story() -> None:
        async with a_world() as world:
            await make_services(world)
            shop = (await world.admin.get(Service, "my-shop", "default")).spec.cluster_ip
            api = (await world.admin.get(Service, "kubernetes", "default")).spec.cluster_ip
            await world.make(
                a_reading_pod("web", env=[{"name": "URL", "value": "$(MY_SHOP_PORT)"}])
            )
            await world.make(a_reading_pod("bare", links=False))
            await world.until(lambda: world.is_phase("Running"))
            await world.until(lambda: world.is_phase("Running", "bare"))

            found, bare = environment(world), environment(world, "bare")
            assert found["MY_SHOP_SERVICE_HOST"] == shop
            assert found["MY_SHOP_SERVICE_PORT"] == "80"
            assert found["MY_SHOP_SERVICE_PORT_DNS"] == "53"
            assert found["MY_SHOP_PORT_80_TCP"] == f"tcp://{shop}:80"
            assert found["MY_SHOP_PORT_53_UDP_ADDR"] == shop
            assert found["URL"] == f"tcp://{shop}:80"
            assert found["KUBERNETES_SERVICE_HOST"] == bare["KUBERNETES_SERVICE_HOST"] == api
            assert not [key for key in bare if key.startswith("MY_SHOP")]
            assert not [key for key in found if key.startswith("HEADLESS")]

    lived(story)


class CutTransport(DirectTransport):
    """The way to the API, which can be cut."""

    is_cut = False

    async def open(self, request: Request, *, deadline_s: float) -> Response:
        if self.is_cut:
            raise Unreachable("cut")
        return await super().open(request, deadline_s=deadline_s)


def begin_cuttable(world: World) -> CutTransport:
    """Begin a kubelet whose way to the API can be cut, in place of the one that has ended."""
    transport = CutTransport(world.server, KUBELET)
    world.begin(transport)
    return transport


async def end_main(world: World, pod: str) -> None:
    """End the pod's container and wait until another one runs."""
    lives = [one for one in world.machine.runtime.lives.values() if one.container.pod_name == pod]
    main = max(
        (one for one in lives if one.container.name == "main"),
        key=lambda one: one.container.attempt,
    )
    attempt = main.container.attempt
    world.machine.runtime.end(main.container.id, 1)

    async def is_new() -> bool:
        uid = main.container.pod_uid
        return any(
            life.container.attempt > attempt and (uid, "main") in world.machine.running()
            for life in world.machine.runtime.lives.values()
            if life.container.pod_uid == uid and life.container.name == "main"
        )

    await world.until(is_new)


def test_a_container_starts_again_with_the_same_variables_while_the_api_is_down() -> None:
    async def story() -> None:
        async with a_world(web=Behaviour()) as world:
            await world.end()
            transport = begin_cuttable(world)
            await make_services(world)
            await world.admin.create(ConfigMap(metadata=meta("settings"), data={"A": "a"}))
            await world.make(a_reading_pod("web", envFrom=[{"configMapRef": {"name": "settings"}}]))
            await world.until(lambda: world.is_phase("Running"))
            before = environment(world)
            transport.is_cut = True
            await end_main(world, "web")
            assert environment(world) == before

    lived(story)


def test_services_are_kept_over_a_restart_of_the_kubelet_while_the_api_is_down() -> None:
    async def story() -> None:
        async with a_world() as world:
            await make_services(world)
            await world.make(a_reading_pod("web", env=[{"name": "A", "value": "1"}]))
            await world.until(lambda: world.is_phase("Running"))
            before = environment(world)
            assert "MY_SHOP_SERVICE_HOST" in before

            async def is_saved() -> bool:
                return "my-shop" in [one.metadata.name for one in world.machine.disk.services]

            await world.until(is_saved)
            await world.end()
            transport = begin_cuttable(world)
            transport.is_cut = True
            await end_main(world, "web")
            assert environment(world) == before

    lived(story)


def test_a_secret_is_never_written_to_the_nodes_disk() -> None:
    async def story() -> None:
        async with a_world() as world:
            secret = Secret(metadata=meta("login"), string_data={"password": "hunter2"})
            await world.admin.create(secret)
            await world.make(a_reading_pod("web", envFrom=[{"secretRef": {"name": "login"}}]))
            await world.until(lambda: world.is_phase("Running"))
            await world.env.clock.sleep(60)
            disk = world.machine.disk
            kept = b"".join(codec.encode(one) for one in (*disk.pods, *disk.services))
            assert kept
            assert b"hunter2" not in kept
            assert configured("hunter2").encode() not in kept

    lived(story)


def configured(text: str) -> str:
    return Secret(metadata=meta("x"), string_data={"a": text}).defaulted().data["a"]
