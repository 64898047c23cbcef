"""Manifests in the shapes of popular charts and tutorials are taken whole, with the right defaults.

The files of `charts` were written here, after what people apply to clusters: none was copied.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from apiserver.server import ApiServer
from apiserver.settings import Settings
from apiserver.storage.memory import MemoryStore
from cubernetes.api.coding import codec
from cubernetes.api.meta import Object, replaced
from cubernetes.api.notation import yaml
from cubernetes.api.quantities import Quantity, QuantityInvalid
from cubernetes.api.registry import KINDS
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from tests.direct import DirectTransport

CHARTS = sorted(Path(__file__).with_name("charts").glob("*.yaml"))
type Tree = dict[str, Any]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    env = Env()
    server = ApiServer(MemoryStore(env), env, Settings())
    await server.start()
    made = Client(DirectTransport(server), env)
    yield made
    await server.stop()


def documents(chart: Path) -> list[Tree]:
    return [tree for tree, *_ in yaml.documents(chart.read_bytes())]


async def create(client: Client, tree: Tree) -> Tree:
    """Create what a document says, as kubectl does; return the object as the API has it."""
    kind = KINDS.of(tree["apiVersion"], tree["kind"])
    assert kind is not None, tree["kind"]
    wanted: Object = codec.from_tree(kind, tree).model
    if kind.resource.namespaced and not wanted.metadata.namespace:
        wanted = replaced(wanted, metadata=replaced(wanted.metadata, namespace="default"))
    await client.create(wanted)
    found = await client.get(kind, wanted.metadata.name, wanted.metadata.namespace)
    told: Tree = yaml.tree_of(codec.encode(found))
    return told


def missing(wanted: Any, found: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of what was asked for and is not there, or is otherwise."""
    match wanted, found:
        case dict(), dict():
            for key, value in wanted.items():
                yield from missing(value, found.get(key), f"{path}.{key}")
        case list(), list() if len(wanted) == len(found):
            for index, (one, other) in enumerate(zip(wanted, found, strict=True)):
                yield from missing(one, other, f"{path}[{index}]")
        case _ if not wanted and not found:
            pass  # what is empty is left out
        case _ if wanted != found and not is_same_amount(wanted, found):
            yield f"{path}: {wanted!r} became {found!r}"


def is_same_amount(wanted: object, found: object) -> bool:
    try:
        return Quantity(str(wanted)) == Quantity(str(found))
    except QuantityInvalid:
        return False


def pod_specs(tree: Tree) -> Iterator[Tree]:
    """Yield the specs of the pods that an object is, or makes."""
    spec = tree.get("spec", {})
    if tree["kind"] == "Pod":
        yield spec
    template = spec.get("jobTemplate", tree).get("spec", {}).get("template")
    if template is not None:
        yield template["spec"]


def test_there_are_more_than_twenty_shapes() -> None:
    assert len(CHARTS) > 20


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.stem)
async def test_a_chart_is_taken_and_nothing_of_it_is_lost(client: Client, chart: Path) -> None:
    for tree in documents(chart):
        found = await create(client, tree)
        assert list(missing(tree, found)) == [], tree["metadata"]["name"]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.stem)
async def test_what_a_chart_leaves_open_is_as_in_kubernetes(client: Client, chart: Path) -> None:
    for tree in documents(chart):
        found = await create(client, tree)
        for own, spec in zip(pod_specs(tree), pod_specs(found), strict=True):
            assert spec["dnsPolicy"] == own.get("dnsPolicy", "ClusterFirst")
            assert spec["restartPolicy"] == own.get("restartPolicy", "Always")
            grace_s = own.get("terminationGracePeriodSeconds", 30)
            assert spec["terminationGracePeriodSeconds"] == grace_s
            assert spec["schedulerName"] == "default-scheduler"
            for container in spec["containers"]:
                assert container["imagePullPolicy"] in ("Always", "IfNotPresent")
                assert container["terminationMessagePath"] == "/dev/termination-log"
                for port in container.get("ports", ()):
                    assert port["protocol"] == "TCP"


async def test_defaults_of_the_workloads_are_those_of_kubernetes(client: Client) -> None:
    found = {
        (tree["kind"], tree["metadata"]["name"]): await create(client, tree)
        for name in ("php-apache", "zookeeper", "backup", "guestbook")
        for tree in documents(Path(__file__).with_name("charts") / f"{name}.yaml")
    }
    deployment = found["Deployment", "php-apache"]["spec"]
    assert deployment["replicas"] == 1
    rolling = {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert deployment["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    container = deployment["template"]["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "Always"
    probe = found["StatefulSet", "zk"]["spec"]["template"]["spec"]["containers"][0]
    assert probe["livenessProbe"]["periodSeconds"] == 10
    assert probe["livenessProbe"]["failureThreshold"] == 3
    assert found["CronJob", "backup"]["spec"]["suspend"] is False
    assert found["Job", "pi"]["spec"]["podReplacementPolicy"] == "TerminatingOrFailed"
    assert found["Service", "redis-follower"]["spec"]["ports"][0]["targetPort"] == 6379
    assert found["Service", "redis-follower"]["spec"]["clusterIP"]


async def test_a_misspelt_field_of_a_chart_is_refused_by_its_path(client: Client) -> None:
    tree = documents(Path(__file__).with_name("charts") / "sidecar.yaml")[0]
    tree["spec"]["containers"][0]["imagePullpolicy"] = "Always"
    with pytest.raises(Exception, match=r"spec.containers\[0\].imagePullpolicy"):
        await create(client, tree)
