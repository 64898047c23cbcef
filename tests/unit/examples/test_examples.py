"""Every example is a promise: it reads strictly, obeys its kind's rules, and survives the wire."""

import re
from pathlib import Path

import pytest

from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.service import Service
from cubernetes.api.meta import Object
from cubernetes.api.notation import yaml
from cubernetes.api.registry import KINDS

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples"
FILES = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.yaml"))
IMAGES = {f"cubernetes/{name}:1" for name in ("pause", "busybox", "web", "stress")}


def objects_in(name: str) -> list[Object]:
    read = []
    for tree, *_ in yaml.documents((EXAMPLES / name).read_bytes()):
        kind = KINDS.of(tree["apiVersion"], tree["kind"])
        assert kind is not None, tree["kind"]
        read.append(codec.from_tree(kind, tree).model)
    return read


def pod_specs(objects: list[Object]) -> list[tuple[dict[str, str], PodSpec]]:
    """Return the labels and the spec of every pod that the objects would make."""
    found = [(dict(one.metadata.labels), one.spec) for one in objects if isinstance(one, Pod)]
    templates = [one.spec.template for one in objects if isinstance(one, ReplicaSet)]
    return found + [(dict(one.metadata.labels), one.spec) for one in templates]


@pytest.mark.parametrize("name", FILES)
def test_an_example_obeys_the_rules_of_its_kind(name: str) -> None:
    for one in objects_in(name):
        assert list(one.defaulted().problems()) == []


@pytest.mark.parametrize("name", FILES)
def test_an_example_survives_the_wire(name: str) -> None:
    for one in objects_in(name):
        assert codec.decode(type(one), codec.encode(one)) == one


@pytest.mark.parametrize("name", FILES)
def test_an_example_says_what_it_is_for(name: str) -> None:
    assert (EXAMPLES / name).read_text().startswith("# ")


@pytest.mark.parametrize("name", FILES)
def test_an_example_uses_only_images_that_are_built_here(name: str) -> None:
    for _, spec in pod_specs(objects_in(name)):
        assert {container.image for container in spec.containers} <= IMAGES


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("tour/")])
def test_a_service_of_the_tour_finds_its_pods_and_their_ports(name: str) -> None:
    objects = objects_in(name)
    for service in (one for one in objects if isinstance(one, Service)):
        wanted = service.spec.selector.items()
        chosen = [spec for labels, spec in pod_specs(objects) if wanted <= labels.items()]
        assert chosen
        for spec in chosen:
            ports = [port for container in spec.containers for port in container.ports]
            offered = {port.name for port in ports} | {port.container_port for port in ports}
            assert all(port.target_port in offered for port in service.spec.ports)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_an_example_mentions_is_there(name: str) -> None:
    mentioned = re.findall(r"examples/[\w./-]+\.yaml", (EXAMPLES / name).read_text())
    assert [path for path in mentioned if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.singular)
def test_every_kind_has_an_example(kind: type[Object]) -> None:
    name = f"{kind.resource.singular}.yaml"
    assert kind in {type(one) for one in objects_in(name)}


def test_no_two_pods_of_the_tour_want_the_same_port_of_a_node() -> None:
    taken = [
        port.host_port
        for name in FILES
        for _, spec in pod_specs(objects_in(name))
        for container in spec.containers
        for port in container.ports
        if port.host_port
    ]
    assert sorted(taken) == sorted(set(taken))
