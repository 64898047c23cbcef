"""What names are made of, kept on the disk for a start without an API server."""

from pathlib import Path

from cubernetes.api.cubernetes.dns import Dns, DnsSpec, DnsStatus
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.connect import ClientSettings
from resolver.checkpoint import NamesCheckpoint, lines_of
from resolver.objects import dns_kept, namespace_kept, service_kept, slice_kept
from resolver.run import zone_of
from resolver.settings import ResolverSettings
from tests.given import a_namespace, a_service, a_slice
from tests.unit.resolver.asking import asked, texts

SETTINGS = ResolverSettings(
    node_name="n1", client=ClientSettings(servers=("https://192.0.2.1:6443",), ca="ca.crt")
)
OBJECTS = [
    namespace_kept(a_namespace("default")),
    service_kept(a_service("db", cluster_ip="None")),
    slice_kept(a_slice("db-1", service="db", addresses=["10.244.1.2"])),
    dns_kept(
        Dns(
            metadata=ObjectMeta(name="d", namespace="default"),
            spec=DnsSpec(host="shop.example"),
            status=DnsStatus(gateways=("192.0.2.7",)),
        )
    ),
]


def test_names_are_answered_from_what_was_saved(tmp_path: Path) -> None:
    NamesCheckpoint(tmp_path / "names").save(lines_of(OBJECTS))

    saved = NamesCheckpoint(tmp_path / "names").load()
    assert saved is not None
    zone = zone_of(SETTINGS, saved)
    name = "db.default.svc.cluster.local."
    assert texts(asked(zone, name).rr) == [f"{name} A 10.244.1.2"]
    assert asked(zone, "default.svc.cluster.local.").rr == []
    assert texts(asked(zone, "shop.example.").rr) == ["shop.example. A 192.0.2.7"]


def test_what_many_objects_have_in_common_is_in_memory_once(tmp_path: Path) -> None:
    slices = [a_slice(name, addresses=["10.244.1.2", "10.244.1.3"]) for name in ("a-1", "b-1")]
    services = [a_service("a"), a_service("b")]
    NamesCheckpoint(tmp_path / "names").save(lines_of([*services, *slices]))

    saved = NamesCheckpoint(tmp_path / "names").load()
    assert saved is not None
    endpoints = [endpoint for one in saved.slices for endpoint in one.endpoints]
    assert len(endpoints) == 4
    assert len({id(one.conditions) for one in endpoints}) == 1
    assert len({id(one.deprecated_topology) for one in endpoints}) == 1
    assert len({id(one.metadata.labels) for one in saved.services}) == 1
    assert [one.spec.cluster_ip for one in saved.services] == ["10.96.0.10", "10.96.0.10"]


def test_a_file_that_was_cut_is_none(tmp_path: Path) -> None:
    path = tmp_path / "names"
    checkpoint = NamesCheckpoint(path)
    assert checkpoint.load() is None
    checkpoint.save(lines_of(OBJECTS))
    path.write_bytes(path.read_bytes()[:-5])
    assert NamesCheckpoint(path).load() is None
    assert NamesCheckpoint(None).load() is None


def test_what_is_kept_of_objects_is_what_names_are_made_of() -> None:
    service = service_kept(a_service("db"))
    assert service.spec.cluster_ip == "10.96.0.10"
    assert service.spec.selector == {}
    assert slice_kept(a_slice("db-1", service="db")).service_name == "db"
