"""Programs are values: what is so of all of them, and which of them are optional."""

import json
from pathlib import Path

import msgspec
import pytest

from controllers.settings import ControllersSettings
from cubernetes.api.bodies.joining import CERTIFICATES
from cubernetes.api.core.node import Node
from cubernetes.api.errors import Invalid
from cubernetes.host.settings import settings_bytes
from cuberoot import certificates, compile, layout, registry  # noqa: A004  a room's word
from cuberoot.cluster import Cluster, Role, node_of
from cuberoot.layout import pair
from cuberoot.plan import ports_of
from cuberoot.registry import PROGRAMS, UnknownProgram
from kubelet.settings import KubeletSettings, WeaveSettings
from tests.house.sources import ROOT
from tests.unit.cuberoot.test_compile import MASTER, WORKER
from tsdb.settings import TsdbSettings

EXAMPLE = ROOT / "examples" / "tsdb" / "cluster.json"
WITH_TSDB = msgspec.structs.replace(MASTER, enabled=("tsdb",))


def manifest(programs: str) -> Node:
    annotations = {"cubernetes.io/programs": programs}
    text = json.dumps({"metadata": {"name": "n1", "annotations": annotations}})
    return node_of(text.encode(), "n1", "192.168.78.11")


def offered(role: Role) -> str:
    """Return how a refusal ends: with the optional programs that there are."""
    return f"there are {', '.join(registry.optional_for(role)) or 'none'}$"


def test_names_and_ports_and_certificates_belong_to_one_program_each() -> None:
    names = [one.name for one in PROGRAMS]
    numbers = [number for one in PROGRAMS for number in one.port_numbers]
    files = [each.name for one in PROGRAMS for each in one.certificates]
    for given in (names, numbers, files):
        assert len(given) == len(set(given))


def test_what_a_program_needs_is_started_before_it_and_runs_where_it_runs() -> None:
    started: dict[str, str] = {}
    for one in PROGRAMS:
        for needed in one.after:
            assert needed in started, f"{one.name} is listed before {needed}"
        started[one.name] = one.place
        assert not (one.settings is None and one.command is None), one.name


def test_a_worker_asks_the_api_server_for_the_certificates_that_it_signs() -> None:
    assert set(certificates.names_of(WORKER)) == set(CERTIFICATES)


def test_every_reset_that_is_named_is_there() -> None:
    for one in PROGRAMS:
        if one.reset:
            assert (ROOT / f"{one.reset.replace('.', '/')}.py").is_file(), one.reset


def test_an_optional_program_runs_only_where_it_is_enabled() -> None:
    assert "tsdb" not in registry.names_of(MASTER)
    assert layout.settings_file("tsdb") not in compile.files_for(MASTER)
    assert "tsdb" not in certificates.names_of(MASTER)
    assert 9090 not in ports_of("control-plane")

    assert registry.names_of(WITH_TSDB) == (*registry.names_of(MASTER), "tsdb")
    assert layout.settings_file("tsdb") in compile.files_for(WITH_TSDB)
    assert "tsdb" in certificates.names_of(WITH_TSDB)
    assert 9090 in ports_of("control-plane", ("tsdb",))


def test_a_program_of_the_control_plane_is_on_no_worker_even_if_a_file_says_so() -> None:
    worker = msgspec.structs.replace(WORKER, enabled=("tsdb",))
    assert registry.names_of(worker) == ("kubelet", "proxy", "resolver")


@pytest.mark.parametrize("supervision", ["systemd", "supervisord"])
def test_enabling_adds_the_files_of_the_program_and_changes_those_that_name_it(
    supervision: str,
) -> None:
    def files(cluster: Cluster) -> compile.Files:
        return compile.files_for(msgspec.structs.replace(cluster, supervision=supervision))

    before, after = files(MASTER), files(WITH_TSDB)
    own = set(compile.files_of(registry.optional_program("tsdb", "control-plane")))
    assert after.keys() - before.keys() == own & after.keys()
    assert before.keys() <= after.keys()
    shared = {path for path in before if before[path] != after[path]}
    expected = {layout.settings_file(one) for one in ("controllers", "kubelet")}
    expected |= {layout.SUPERVISORD_CONFIG} if supervision == "supervisord" else set()
    assert shared == expected


def test_no_pod_is_given_the_port_of_an_enabled_program() -> None:
    kubelet = compile.settings_for(WITH_TSDB)["kubelet"]
    assert isinstance(kubelet, KubeletSettings)
    assert "9090/TCP" in kubelet.ports_in_use
    assert set(kubelet.closed_ports) == {2379, 2380, 6811, 9092, 9093, 10250, 10262}


def test_pods_are_kept_from_the_closed_ports_of_other_nodes_as_well() -> None:
    kubelet = compile.settings_for(WORKER)["kubelet"]
    assert isinstance(kubelet, KubeletSettings)
    assert set(kubelet.closed_ports) == {2379, 2380, 6811, 9092, 9093, 10250, 10262}


OVER_WEAVE = msgspec.structs.replace(WORKER, network="weave", weave_password="open sesame")


def test_the_router_runs_before_the_kubelet_where_the_network_is_weave() -> None:
    assert registry.names_of(OVER_WEAVE) == ("weave", "kubelet", "proxy", "resolver")
    settings = compile.settings_for(OVER_WEAVE)
    router, kubelet = settings["weave"], settings["kubelet"]
    assert isinstance(router, WeaveSettings)
    assert isinstance(kubelet, KubeletSettings)
    assert (router.password, router.peers) == ("open sesame", ("192.168.78.11",))
    assert kubelet.network == "weave"
    assert 6783 in kubelet.closed_ports
    assert 6783 in ports_of("worker", network="weave")
    assert 6783 not in ports_of("worker")


def test_the_password_is_in_files_of_roots_alone() -> None:
    for supervision in ("systemd", "supervisord"):
        cluster = msgspec.structs.replace(OVER_WEAVE, supervision=supervision)
        files = compile.files_for(cluster)
        having = {path for path, file in files.items() if b"sesame" in file.content}
        assert having == {layout.settings_file("weave")}
        assert files[layout.settings_file("weave")].mode == 0o600


def test_a_unit_starts_after_those_that_it_needs_on_its_own_node() -> None:
    def after(cluster: Cluster, program: str) -> str:
        files = compile.files_for(msgspec.structs.replace(cluster, supervision="systemd"))
        unit = files[layout.unit_file(program)].content.decode()
        return next(line for line in unit.splitlines() if line.startswith("After="))

    first = "After=network-online.target"
    assert after(MASTER, "etcd") == first
    assert after(MASTER, "apiserver") == f"{first} cube-etcd.service"
    assert after(MASTER, "kubelet") == f"{first} docker.service cube-apiserver.service"
    assert after(WORKER, "kubelet") == f"{first} docker.service"
    assert after(WORKER, "proxy") == first


def test_the_controllers_are_told_of_the_store_where_it_runs() -> None:
    def url(cluster: Cluster) -> str:
        settings = compile.settings_for(cluster)["controllers"]
        assert isinstance(settings, ControllersSettings)
        return settings.metrics_url

    assert url(WITH_TSDB) == "http://127.0.0.1:9090"
    assert url(MASTER) == ""


def test_the_store_follows_all_programs_as_the_example_does_with_a_certificate_of_its_own() -> None:
    settings = compile.settings_for(WITH_TSDB)["tsdb"]
    assert isinstance(settings, TsdbSettings)
    assert settings.host == "127.0.0.1"
    text = settings_bytes(settings).decode()
    assert str(pair("tsdb").key) in text

    # The example is for a store that is begun by hand: another folder, another's certificate.
    by_hand = text.replace("pki/tsdb.", "pki/monitoring.")
    by_hand = by_hand.replace(str(layout.TSDB_STATE), "/var/lib/cubernetes-tsdb")
    told = msgspec.json.decode(by_hand, type=TsdbSettings)
    example = msgspec.json.decode(EXAMPLE.read_bytes(), type=TsdbSettings)
    by_name = {job.name: job for job in example.scrape}
    assert {job.name for job in told.scrape} == set(by_name)
    for job in told.scrape:
        groups = sorted(job.groups, key=lambda group: group.targets)
        wanted = sorted(by_name[job.name].groups, key=lambda group: group.targets)
        assert groups == wanted
        assert job.http_sd == by_name[job.name].http_sd
        assert (job.tls, job.scheme) == (by_name[job.name].tls, by_name[job.name].scheme)
    assert told.data_dir == example.data_dir


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("etcd", "control-plane"),
        ("tsbd", "control-plane"),
        ("", "control-plane"),
        ("tsdb", "worker"),
    ],
)
def test_a_name_of_no_optional_program_is_refused_with_those_that_are(
    name: str, role: Role
) -> None:
    with pytest.raises(UnknownProgram, match=offered(role)) as refusal:
        registry.optional_program(name, role)
    assert repr(name) in str(refusal.value)


def test_a_manifest_names_optional_programs_in_an_annotation() -> None:
    assert registry.enabled_in(manifest(" tsdb , tsdb,"), "control-plane") == ("tsdb",)
    assert registry.enabled_in(manifest(""), "control-plane") == ()
    with pytest.raises(Invalid) as refusal:
        registry.enabled_in(manifest("tsdb, scheduler, x"), "control-plane")
    told = str(refusal.value)
    assert "metadata.annotations[cubernetes.io/programs]" in told
    assert "'scheduler' is no optional program" in told
    assert "'x' is no optional program" in told
    with pytest.raises(Invalid, match=offered("worker")):
        registry.enabled_in(manifest("tsdb"), "worker")


def test_enabling_and_disabling_may_be_repeated() -> None:
    once = registry.with_enabled((), ["tsdb"], is_enabled=True)
    assert registry.with_enabled(once, ["tsdb"], is_enabled=True) == once == ("tsdb",)
    assert registry.with_enabled(once, ["tsdb"], is_enabled=False) == ()
    assert registry.with_enabled((), ["tsdb"], is_enabled=False) == ()


def test_a_cluster_file_of_before_is_read_as_one_without_optional_programs() -> None:
    old = msgspec.to_builtins(MASTER)
    del old["enabled"]
    assert msgspec.convert(old, type=Cluster).enabled == ()
    assert Path(layout.TSDB_STATE).is_relative_to(layout.STATE)
