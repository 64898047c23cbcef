"""What clients ask first: discovery in the shape that kubectl and the libraries read."""

from collections.abc import AsyncIterator

import pytest

from cubernetes.api.registry import KINDS
from tests.contract.api.world import World, a_world

AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


# Of the groups whose version in Kubernetes is another one than v1.
VERSIONS = {"metrics.k8s.io": "v1beta1", "autoscaling": "v2"}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as one:
        yield one


async def test_groups_lead_to_every_kind(world: World) -> None:
    headers = {"accept": AGGREGATED}
    assert (await world.call("GET", "/api/", headers=headers)).tree["versions"] == ["v1"]
    groups = (await world.call("GET", "/apis/", headers=headers)).tree["groups"]
    roots = ["/api/v1"]
    for group in groups:
        version = group["preferredVersion"]["groupVersion"]
        assert version == f"{group['name']}/{VERSIONS.get(group['name'], 'v1')}"
        assert (await world.call("GET", f"/apis/{group['name']}")).tree["kind"] == "APIGroup"
        roots.append(f"/apis/{version}")
    found = set()
    for root in roots:
        told = (await world.call("GET", root)).tree
        assert told["kind"] == "APIResourceList"
        found |= {(told["groupVersion"], one["kind"]) for one in told["resources"]}
    assert found >= {(kind.resource.api_version, kind.resource.kind) for kind in KINDS}


async def test_only_a_resource_itself_has_categories(world: World) -> None:
    """Otherwise `kubectl get all` fails: the server has no resource type "pods/log"."""
    resources = (await world.call("GET", "/api/v1")).tree["resources"]
    pods = next(one for one in resources if one["name"] == "pods")
    assert pods["shortNames"] == ["po"]
    assert pods["categories"] == ["all"]
    assert {"get", "list", "watch", "create"} <= set(pods["verbs"])
    parts = [one for one in resources if "/" in one["name"]]
    assert {one["name"] for one in parts} >= {"pods/log", "pods/status", "pods/binding"}
    assert not any("categories" in one for one in parts)


async def test_the_version_is_one_that_kubectl_compares(world: World) -> None:
    told = (await world.call("GET", "/version")).tree
    assert told["major"].isdigit()
    assert told["minor"].isdigit()
    assert told["gitVersion"].startswith(f"v{told['major']}.{told['minor']}.")
