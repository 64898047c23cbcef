"""Objects of custom kinds own others, belong to others, and go with their namespace."""

from collections.abc import AsyncIterator

import pytest

from cubernetes.api.apiextensions.customresourcedefinition import CustomResourceDefinition
from cubernetes.api.apiextensions.definedkinds import kinds_of
from cubernetes.api.apiextensions.naming import is_established
from cubernetes.api.coding import codec
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.custom.objects import CustomObject
from cubernetes.api.errors import NotFound
from cubernetes.api.meta import Object, ObjectMeta, OwnerReference
from cubernetes.client.rest import Client
from tests.contract.workloads.test_controllers import a_cluster, until
from tests.definitions import NAME, a_definition, a_version


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with a_cluster() as found:
        yield found


async def define(client: Client) -> type[CustomObject]:
    """Create a definition of two versions; return its stored kind once it is served."""
    both = a_definition(a_version("v1"), a_version("v2"))
    await client.create(codec.from_tree(CustomResourceDefinition, both).model)

    async def served() -> CustomResourceDefinition | None:
        found = await client.get(CustomResourceDefinition, NAME)
        return found if is_established(found) else None

    return kinds_of(await until(served))[0]


def owned_by(owner: Object, name: str, version: str = "") -> ObjectMeta:
    """Return metadata of what belongs to an object, which may be named in another version."""
    reference = OwnerReference(
        api_version=version or owner.api_version,
        kind=owner.kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
    )
    return ObjectMeta(name=name, namespace="default", owner_references=(reference,))


def a_crontab(kind: type[CustomObject], metadata: ObjectMeta) -> CustomObject:
    return kind.made(metadata, {"spec": {"image": "busybox:1"}})


async def gone(client: Client, one: Object) -> None:
    async def is_gone() -> bool:
        try:
            await client.get(type(one), one.metadata.name, one.metadata.namespace)
        except NotFound:
            return True
        return False

    await until(is_gone)


async def until_followed(client: Client, kind: type[CustomObject]) -> None:
    """Wait until the controllers see the objects of a kind: what one of them owned goes.

    Of an owner that they have never seen they cannot tell, once its kind is gone too.
    """
    owner = await client.create(a_crontab(kind, ObjectMeta(name="first", namespace="default")))
    leaf = await client.create(ConfigMap(metadata=owned_by(owner, "first")))
    await client.delete(kind, "first", "default")
    await gone(client, leaf)


async def test_what_a_custom_object_owns_goes_with_it_and_it_with_its_owner(
    client: Client,
) -> None:
    kind = await define(client)
    root = await client.create(ConfigMap(metadata=ObjectMeta(name="root", namespace="default")))
    middle = await client.create(a_crontab(kind, owned_by(root, "middle")))
    # It names its owner in the version that is not stored.
    version = middle.resource._replace(version="v2").api_version
    leaf = await client.create(ConfigMap(metadata=owned_by(middle, "leaf", version)))
    other = await client.create(a_crontab(kind, ObjectMeta(name="other", namespace="default")))
    kept = await client.create(ConfigMap(metadata=owned_by(other, "kept")))

    await client.delete(ConfigMap, "root", "default")
    await gone(client, middle)
    await gone(client, leaf)
    assert (await client.get(ConfigMap, "kept", "default")).metadata.uid == kept.metadata.uid
    # In the foreground the owner goes last.
    await client.delete(kind, "other", "default", propagation="Foreground")
    await gone(client, other)
    with pytest.raises(NotFound):
        await client.get(ConfigMap, "kept", "default")


async def test_a_namespace_takes_custom_objects_along(client: Client) -> None:
    await client.create(Namespace(metadata=ObjectMeta(name="shop")))
    kind = await define(client)
    # At once: nobody may have listed the new kind yet.
    one = await client.create(a_crontab(kind, ObjectMeta(name="nightly", namespace="shop")))
    await client.delete(Namespace, "shop")
    await gone(client, Namespace(metadata=ObjectMeta(name="shop")))

    with pytest.raises(NotFound):
        await client.get(kind, one.metadata.name, "shop")


async def test_a_kind_that_goes_is_followed_no_more_and_may_come_again(client: Client) -> None:
    for _ in range(2):
        kind = await define(client)
        owner = await client.create(a_crontab(kind, ObjectMeta(name="own", namespace="default")))
        leaf = await client.create(ConfigMap(metadata=owned_by(owner, "leaf")))
        # What came after these two has been seen: so have they.
        await until_followed(client, kind)
        await client.delete(CustomResourceDefinition, NAME)
        await gone(client, leaf)
        definition = codec.from_tree(CustomResourceDefinition, a_definition()).model
        await gone(client, definition)


async def test_a_kind_that_is_stored_otherwise_has_the_same_objects(client: Client) -> None:
    """It is followed anew: what ended meanwhile is told of, and what others own stays."""
    kind = await define(client)
    owners = [
        await client.create(a_crontab(kind, ObjectMeta(name=name, namespace="default")))
        for name in ("one", "two")
    ]
    leaves = [
        await client.create(ConfigMap(metadata=owned_by(one, one.metadata.name))) for one in owners
    ]
    versions = [a_version("v1", storage=False), a_version("v2", storage=True)]
    await client.patch(CustomResourceDefinition, NAME, "", {"spec": {"versions": versions}})
    await client.delete(kind, "one", "default")
    await gone(client, leaves[0])
    assert (await client.get(ConfigMap, "two", "default")).metadata.uid == leaves[1].metadata.uid
