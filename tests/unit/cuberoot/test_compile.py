"""The files that a node's programs read."""

import shlex
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import msgspec
import pytest
import yaml

from apiserver.settings import Settings as ApiServerSettings
from cubernetes.host.settings import Settings
from cuberoot import compile, layout  # noqa: A004  a room's word
from cuberoot.cluster import Cluster
from cuberoot.programs import etcd, kubelet
from cuberoot.registry import names_of
from kubelet.runtime.cgroup import pod_cgroup
from kubelet.settings import KubeletSettings
from proxy.settings import ProxySettings

MASTER = Cluster(
    role="control-plane",
    node_name="n1",
    address="192.168.78.11",
    labels={"gpu": "no"},
    servers=("https://192.168.78.11:6443",),
    python="/opt/cube %d/bin/python",
    etcd="/usr/local/bin/etcd",
)
WORKER = msgspec.structs.replace(MASTER, role="worker", node_name="n2", address="192.168.78.12")


def test_a_worker_runs_a_kubelet_a_proxy_and_a_resolver_and_nothing_else() -> None:
    assert names_of(WORKER) == ("kubelet", "proxy", "resolver")
    assert set(compile.settings_for(WORKER)) == {"kubelet", "proxy", "resolver"}


@pytest.mark.parametrize("cluster", [MASTER, WORKER])
def test_every_settings_file_is_read_back_by_its_program(cluster: Cluster) -> None:
    files = compile.files_for(cluster)
    for program, settings in compile.settings_for(cluster).items():
        file = files[layout.settings_file(program)]
        assert file.mode == 0o600
        kind: type[Settings] = type(settings)
        assert msgspec.json.decode(file.content, type=kind) == settings


def test_a_node_tells_its_proxy_what_to_write_rules_in() -> None:
    chosen = msgspec.structs.replace(WORKER, proxy_backend="nftables")
    for cluster, backend in ((WORKER, "iptables"), (chosen, "nftables")):
        told = compile.settings_for(cluster)["proxy"]
        assert isinstance(told, ProxySettings)
        assert told.backend == backend


def test_the_api_server_is_told_the_level_of_pods_and_spares_what_is_the_clusters_own() -> None:
    chosen = msgspec.structs.replace(MASTER, pod_security="baseline")
    for cluster, level in ((MASTER, "privileged"), (chosen, "baseline")):
        told = compile.settings_for(cluster)["apiserver"]
        assert isinstance(told, ApiServerSettings)
        assert (told.pod_security, told.pod_security_exempt) == (level, ("kube-system",))


def test_every_node_is_told_the_cni_configuration_and_the_api_server_tells_joiners() -> None:
    chosen = msgspec.structs.replace(MASTER, network="cni", cni_config='{"plugins": []}')
    settings = compile.settings_for(chosen)
    for told in (settings["kubelet"], settings["apiserver"]):
        assert isinstance(told, KubeletSettings | ApiServerSettings)
        assert (told.network, told.cni_config) == ("cni", '{"plugins": []}')


def test_etcd_listens_for_clients_on_loopback_only_and_knows_them_by_certificate() -> None:
    words = etcd.command(MASTER)

    assert "--listen-client-urls=https://127.0.0.1:2379" in words
    assert "--client-cert-auth=true" in words
    assert "--peer-client-cert-auth=true" in words
    assert not any("http://" in word for word in words)


def test_supervisord_is_given_exactly_the_command_whatever_is_in_the_path() -> None:
    files = compile.files_for(MASTER)
    parser = RawConfigParser()
    parser.read_string(files[layout.SUPERVISORD_CONFIG].content.decode())

    command = parser["program:kubelet"]["command"].replace("%%", "%")
    assert shlex.split(command) == list(kubelet.PROGRAM.argv(MASTER))
    assert {one for one in parser.sections() if one.startswith("program:")} == {
        f"program:{program}" for program in names_of(MASTER)
    }


def test_w9_systemd_units_restart_for_ever_and_leave_containers_alone() -> None:
    cluster = msgspec.structs.replace(MASTER, supervision="systemd")
    files = compile.files_for(cluster)
    unit = files[layout.unit_file("kubelet")].content.decode()

    assert "Restart=always" in unit
    assert "KillMode=process" in unit
    assert "'/opt/cube %%d/bin/python' -m kubelet" in unit
    assert layout.SUPERVISORD_CONFIG not in files


def test_a_kubelet_knows_the_ports_of_its_nodes_programs() -> None:
    def of(cluster: Cluster) -> set[str]:
        settings = compile.settings_for(cluster)["kubelet"]
        assert isinstance(settings, KubeletSettings)
        return set(settings.ports_in_use)

    every_node = {"10250/TCP", "10255/TCP", "10249/TCP", "10258/TCP"}
    assert of(WORKER) == every_node
    control_plane = {"6443/TCP", "2379/TCP", "2380/TCP", "10259/TCP", "10257/TCP"}
    assert of(MASTER) == every_node | control_plane


def test_a_kubelet_keeps_as_much_of_logs_as_its_manifest_says() -> None:
    def of(size_bytes: int | None) -> int:
        cluster = msgspec.structs.replace(WORKER, kept_logs_bytes=size_bytes)
        settings = compile.settings_for(cluster)["kubelet"]
        assert isinstance(settings, KubeletSettings)
        return settings.kept_logs_bytes_max

    assert (of(None), of(0), of(64 << 20)) == (256 << 20, 0, 64 << 20)


def test_the_kernel_ends_every_pod_before_any_program_of_the_cluster() -> None:
    cluster = msgspec.structs.replace(MASTER, supervision="systemd")
    files = compile.files_for(cluster)

    for program in names_of(cluster):
        unit = files[layout.unit_file(program)].content.decode()
        assert "\nOOMScoreAdjust=-999\n" in unit, program


def test_pods_are_in_slices_that_end_with_them() -> None:
    cluster = msgspec.structs.replace(WORKER, supervision="systemd")
    files = compile.files_for(cluster)
    slices = pod_cgroup("systemd", layout.SLICE.stem, "0a-1b")

    # A drop-in for `a-.slice` holds for every slice whose name begins so.
    assert slices.startswith(layout.POD_SLICES.parent.name.removesuffix(".slice.d"))
    for path in (layout.SLICE, layout.POD_SLICES):
        assert b"StopWhenUnneeded=yes" in files[path].content


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze (systemd)")
def test_systemd_finds_no_fault_in_any_unit(tmp_path: Path) -> None:
    python = tmp_path / "a %d folder" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    cluster = msgspec.structs.replace(
        MASTER, supervision="systemd", python=str(python), etcd=str(python)
    )
    files = compile.files_for(cluster)
    units = [tmp_path / path.name for path in files if path.parent == layout.UNITS]
    for unit in units:
        unit.write_bytes(files[layout.UNITS / unit.name].content)
    assert len(units) == len(names_of(cluster)) + 1

    argv = ["systemd-analyze", "verify", "--man=no", *map(str, units)]
    judged = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    # It reads units of this machine as well, and may find fault with them.
    ours = ("cube-", "cubernetes", str(tmp_path))
    assert not [line for line in judged.stderr.splitlines() if any(word in line for word in ours)]


def test_w9_w51_supervisord_restarts_for_ever_and_keeps_logs_small_without_cutting_them_off() -> (
    None
):
    parser = RawConfigParser()
    parser.read_string(compile.files_for(MASTER)[layout.SUPERVISORD_CONFIG].content.decode())

    for program in names_of(MASTER):
        section = parser[f"program:{program}"]
        assert section["autorestart"] == "true"
        assert section["stdout_logfile_maxbytes"] == "10MB"
        assert section["stdout_logfile_backups"] == "2"


def test_w51_etcd_forgets_old_history_by_itself_and_has_a_quota() -> None:
    words = etcd.command(MASTER)

    assert "--auto-compaction-retention=10m" in words
    assert any(word.startswith("--quota-backend-bytes=") for word in words)


def test_w42_no_secret_file_can_be_read_by_others() -> None:
    for path, file in compile.files_for(MASTER).items():
        if path != layout.BOOT:
            assert file.mode == 0o600, path


def test_the_kubeconfig_holds_everything_that_a_client_needs() -> None:
    tree = yaml.safe_load(compile.kubeconfig_text(MASTER, b"ca", b"cert", b"key"))

    assert tree["clusters"][0]["cluster"]["server"] == "https://192.168.78.11:6443"
    assert tree["current-context"] == tree["contexts"][0]["name"]
    assert tree["users"][0]["user"]["client-key-data"] == "a2V5"
