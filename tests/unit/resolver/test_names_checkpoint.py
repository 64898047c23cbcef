"""What names are made of, kept on the disk for a start without an API server."""

import tracemalloc
import zlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.service import ServicePort
from cubernetes.api.cubernetes.dns import Dns, DnsSpec, DnsStatus
from cubernetes.api.discovery.endpointslice import EndpointPort
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.connect import ClientSettings
from resolver.checkpoint import Kept, NamesCheckpoint, Writing
from resolver.objects import dns_kept, namespace_kept, service_kept, slice_kept
from resolver.run import zone_of
from resolver.settings import ResolverSettings
from tests.given import a_namespace, a_service, a_slice, an_endpoint
from tests.unit.resolver.asking import asked, texts

SETTINGS = ResolverSettings(
    node_name="n1", client=ClientSettings(servers=("https://192.0.2.1:6443",), ca="ca.crt")
)
OBJECTS: list[Kept] = [
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


def content_of(objects: list[Kept]) -> bytes:
    """Return what is kept of these, taken in by two pieces."""
    writing = Writing()
    writing.take(objects[: len(objects) // 2])
    writing.take(objects[len(objects) // 2 :])
    return writing.end()


def test_names_are_answered_from_what_was_saved(tmp_path: Path) -> None:
    NamesCheckpoint(tmp_path / "names").save(content_of(OBJECTS))

    saved = NamesCheckpoint(tmp_path / "names").load()
    assert saved is not None
    zone = zone_of(SETTINGS, saved)
    name = "db.default.svc.cluster.local."
    assert texts(asked(zone, name).rr) == [f"{name} A 10.244.1.2"]
    assert asked(zone, "default.svc.cluster.local.").rr == []
    assert texts(asked(zone, "shop.example.").rr) == ["shop.example. A 192.0.2.7"]


def test_ten_thousand_services_are_in_memory_in_some_bytes_each(tmp_path: Path) -> None:
    """Whole objects took 2,800: a service, its three endpoints, and their places in the zone."""
    count = 1000
    ends = [f"10.244.1.{at}" for at in range(3)]
    services = [a_service(f"web-{at}", cluster_ip=f"10.96.{at // 250}.{at % 250}")
                for at in range(count)]  # fmt: skip
    slices = [a_slice(f"web-{at}-1", service=f"web-{at}", addresses=ends) for at in range(count)]
    kept: list[Kept] = [*map(service_kept, services), *map(slice_kept, slices)]
    checkpoint = NamesCheckpoint(tmp_path / "names")
    checkpoint.save(content_of(kept))
    tracemalloc.start()
    try:
        saved = checkpoint.load()
        assert saved is not None
        zone = zone_of(SETTINGS, saved)
        del saved
        used_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert texts(asked(zone, "web-999.default.svc.cluster.local.").rr)
    assert used_bytes / count < 1000


@given(names=st.lists(st.text(max_size=5)), address=st.sampled_from(["10.96.0.1", "None", "", "x"]))
def test_what_is_written_is_kept_as_it_was(names: list[str], address: str) -> None:
    ports = [ServicePort(name=one, port=80, protocol="UDP") for one in names]
    service = service_kept(a_service(cluster_ip=address, ports=ports))
    assert service_kept(service.written()) == service
    ends = [an_endpoint("10.244.1.2"), an_endpoint("10.244.1.3", is_going=True)]
    one = slice_kept(a_slice(endpoints=ends, ports=[EndpointPort(name=n, port=1) for n in names]))
    assert slice_kept(one.written()) == one
    assert [each.address for each in one.facts.endpoints] == [b"\x0a\xf4\1\2", b"\x0a\xf4\1\3"]


def test_a_file_of_an_older_version_is_read(tmp_path: Path) -> None:
    lines = (b'N{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}}\n',
             b'S{"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"default"},'
             b'"spec":{"clusterIP":"10.96.0.7"}}\n')  # fmt: skip
    checkpoint = NamesCheckpoint(tmp_path / "names")
    checkpoint.save(b"".join(lines))
    saved = checkpoint.load()
    assert saved is not None
    name = "web.default.svc.cluster.local."
    assert texts(asked(zone_of(SETTINGS, saved), name).rr) == [f"{name} A 10.96.0.7"]


def test_a_file_whose_lines_are_not_whole_is_none(tmp_path: Path) -> None:
    checkpoint, content = NamesCheckpoint(tmp_path / "names"), content_of(OBJECTS)
    for wrong in (content[:-6], b"x", zlib.compress(zlib.decompress(content)[:-1])):
        checkpoint.save(wrong)
        assert checkpoint.load() is None


def test_a_file_that_was_cut_is_none(tmp_path: Path) -> None:
    path = tmp_path / "names"
    checkpoint = NamesCheckpoint(path)
    assert checkpoint.load() is None
    checkpoint.save(content_of(OBJECTS))
    path.write_bytes(path.read_bytes()[:-5])
    assert NamesCheckpoint(path).load() is None
    assert NamesCheckpoint(None).load() is None


def test_what_is_kept_of_objects_is_what_names_are_made_of() -> None:
    service = service_kept(a_service("db"))
    assert service.facts.address == b"\x0a\x60\0\x0a"
    assert service.written().spec.selector == {}
    ends = [an_endpoint("10.244.1.2"), an_endpoint("fe80::1")]
    one = slice_kept(a_slice("db-1", service="db", endpoints=ends))
    assert one.facts.service_name == "db"
    # What no answer can hold is not kept.
    assert [each.address for each in one.facts.endpoints] == [b"\x0a\xf4\1\2"]
    assert one.metadata.resource_version == "1"
