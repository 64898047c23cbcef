"""Definitions beside each other, and servers that begin: who is served, and who waits for whom."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from apiserver.maintenance import customkinds
from apiserver.server import ApiServer
from apiserver.verbs.delete import deleted
from cubernetes.api.errors import ServiceUnavailable
from cubernetes.api.kinds import Kinds
from cubernetes.api.meta import Object
from cubernetes.api.registry import KINDS
from cubernetes.api.resource import Resource
from tests.contract.api.objects.test_custom_kinds import conditions, define
from tests.contract.api.world import Tree, World, a_world, settled
from tests.definitions import CRONTABS, DEFINITIONS, GROUP, NAME, a_crontab, a_definition

UNSHORT: dict[str, Any] = {"shortNames": []}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        yield one


async def test_a_name_that_another_has_is_told_and_not_served(world: World) -> None:
    await define(world)
    told = await define(world, a_definition(names={"plural": "cronies", "kind": "Crony"}))

    assert conditions(told) == {"NamesAccepted": "False", "Established": "False"}
    found = next(one for one in told["status"]["conditions"] if one["type"] == "NamesAccepted")
    assert (found["reason"], found["message"]) == (
        "ShortNamesConflict", '"ct" is already in use'
    )  # fmt: skip
    assert told["status"]["acceptedNames"] == {"plural": "", "kind": ""}
    assert (await world.call("GET", CRONTABS.replace("crontabs", "cronies"))).code == 404
    # Once the name is free, who waits for it gets it.
    await world.call("DELETE", f"{DEFINITIONS}/{NAME}")
    await settled()
    assert (await world.call("GET", CRONTABS.replace("crontabs", "cronies"))).code == 200


@pytest.mark.parametrize(
    "group",
    [
        *("cubernetes.io", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io"),
        *("metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"),
    ],
)
async def test_a_group_of_the_servers_own_is_nobodys(world: World, group: str) -> None:
    definition = a_definition(group=group)
    approved = {"api-approved.kubernetes.io": "https://github.com/kubernetes/kubernetes/pull/1"}
    definition["metadata"]["annotations"] = approved
    told = await define(world, definition)

    assert conditions(told)["Established"] == "False"


async def test_of_two_that_come_at_once_one_has_the_name_and_others_are_served(
    world: World,
) -> None:
    called: tuple[Tree, ...] = ({}, {"plural": "cronies"}, {"plural": "cars", "kind": "Car"})
    definitions = [a_definition(names=names | UNSHORT) for names in called]
    made = await asyncio.gather(*(world.call("POST", DEFINITIONS, one) for one in definitions))
    assert [one.code for one in made] == [201, 201, 201]
    await settled()

    # Of one age, the first by its name is the elder.
    for plural, established in (("crontabs", "False"), ("cronies", "True"), ("cars", "True")):
        told = (await world.call("GET", f"{DEFINITIONS}/{plural}.{GROUP}")).tree
        found = await world.call("GET", CRONTABS.replace("crontabs", plural))
        assert (plural, conditions(told)["Established"]) == (plural, established)
        assert (plural, found.code) == (plural, 200 if established == "True" else 404)


async def test_a_server_that_has_a_group_of_its_own_by_now_starts(world: World) -> None:
    """After an upgrade the kind is the server's; what others defined is served no more."""
    await define(world)
    await define(world, a_definition(group="other.example.com"))
    await world.server.stop()
    facts = {"resource": Resource(GROUP, "v1", "CronTab", "crontabs"), "__module__": __name__}
    own = cast(type[Object], cast(Any, type(Object))("CronTab", (Object,), facts))
    backend = world.server.backend
    other = ApiServer(world.store, backend.env, backend.settings, kinds=Kinds(*KINDS, own))
    await other.start()
    try:
        await settled()
        again = World(other, world.store, world.clock)
        told = (await again.call("GET", f"{DEFINITIONS}/{NAME}")).tree
        assert conditions(told)["Established"] == "False"
        elsewhere = CRONTABS.replace(GROUP, "other.example.com")
        assert (await again.call("GET", elsewhere)).code == 200
    finally:
        await other.stop()


async def test_an_object_that_cannot_be_deleted_holds_up_nothing_beside_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(backend: Any, call: Any, *rest: Any, **more: Any) -> Any:
        if call.name == "a-kept":
            raise ServiceUnavailable("not now")
        return await deleted(backend, call, *rest, **more)

    monkeypatch.setattr(customkinds, "deleted", refused)
    await define(world)
    for name in ("a-kept", "free"):
        await world.call("POST", CRONTABS, a_crontab(name))
    await world.call("DELETE", f"{DEFINITIONS}/{NAME}")
    told = await define(world, a_definition(names={"plural": "dogs", "kind": "Dog"} | UNSHORT))

    assert conditions(told)["Established"] == "True"
    assert (await world.call("GET", CRONTABS)).names == ["a-kept"]


async def test_a_server_that_begins_anew_serves_what_is_defined(world: World) -> None:
    await define(world)
    await world.call("POST", CRONTABS, a_crontab())
    revision = (await world.call("GET", f"{CRONTABS}/nightly")).revision
    await world.server.stop()
    env = world.server.backend.env
    other = ApiServer(world.store, env, world.server.backend.settings)
    await other.start()
    try:
        again = World(other, world.store, world.clock)
        # At once, before its first look at the definitions is over.
        found = await again.call("GET", f"{CRONTABS}/nightly")
        assert (found.code, found.revision) == (200, revision)
    finally:
        await other.stop()
