"""The CIS benchmark's table: complete, each row with a test that is there; and rows of settings."""

import ssl
from pathlib import Path
from typing import NamedTuple

import pytest

from apiserver.settings import Settings as ApiServerSettings
from controllers.settings import ControllersSettings
from cubernetes.host.web import exporter
from cubernetes.host.web.tls import Clients, server_tls
from cuberoot import compile, layout, pki  # noqa: A004  a room's word
from cuberoot.program import Identity
from cuberoot.programs import etcd
from kubelet.settings import KubeletSettings
from scheduler.settings import SchedulerSettings
from tests.given import NOW
from tests.unit.cuberoot.test_compile import MASTER, WORKER

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/security-benchmark.md"
STATES = {"kept", "other", "no", "none"}
# How many controls each section of CIS Kubernetes Benchmark 1.8 has, in its order.
SECTIONS = {
    "1.1": 21, "1.2": 29, "1.3": 7, "1.4": 2, "3.1": 3, "3.2": 2, "4.1": 10, "4.2": 13, "4.3": 1,
    "5.1": 13, "5.2": 13, "5.3": 2, "5.4": 2, "5.5": 1, "5.7": 4,
}  # fmt: skip
STORE_COUNT = 7  # section 2 has no sections of its own


class Row(NamedTuple):
    controls: tuple[str, ...]
    state: str
    how: str
    test: str


def rows() -> list[Row]:
    found = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0][:1].isdigit():
            found.append(Row(tuple(spread(cells[0])), cells[1], cells[2], cells[3].strip("`")))
    return found


def spread(text: str) -> list[str]:
    """Return the controls of `1.2.4` or `1.2.4-1.2.6`."""
    first, _, last = text.partition("-")
    section, _, begin = first.rpartition(".")
    end = (last or first).rpartition(".")[2]
    return [f"{section}.{number}" for number in range(int(begin), int(end) + 1)]


def settings(kind: type[object], *, is_worker: bool = False) -> object:
    found = compile.settings_for(WORKER if is_worker else MASTER).values()
    return next(one for one in found if isinstance(one, kind))


def api_server() -> ApiServerSettings:
    found = settings(ApiServerSettings)
    assert isinstance(found, ApiServerSettings)
    return found


def test_every_control_stands_in_the_table_once_and_in_order() -> None:
    wanted = [f"2.{number}" for number in range(1, STORE_COUNT + 1)]
    wanted += [
        f"{one}.{number}" for one, count in SECTIONS.items() for number in range(1, count + 1)
    ]
    told = [control for row in rows() for control in row.controls]
    assert sorted(told) == sorted(wanted)
    assert told == sorted(told, key=lambda one: [int(part) for part in one.split(".")])


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.controls[0])
def test_a_row_says_how_it_is_and_names_a_test_that_is_there(row: Row) -> None:
    assert row.state in STATES
    assert len(row.how) > 10
    assert bool(row.test) == (row.state in ("kept", "other"))
    if row.test:
        file, _, name = row.test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text()


def test_the_api_server_knows_clients_by_certificates_and_by_tokens_that_end() -> None:
    server = api_server()
    assert server.client_ca == str(layout.CLUSTER_CA.cert)
    assert server.account_key == str(layout.SERVICE_ACCOUNTS.key)
    assert 0 < server.account_token_s_max <= 365 * 24 * 3600
    # Its own authority signs nothing but certificates: tokens have a key that signs only them.
    assert layout.SERVICE_ACCOUNTS.key != layout.CLUSTER_CA.key


def test_kubelets_are_asked_with_a_certificate_and_known_by_the_clusters_authority() -> None:
    server = api_server()
    assert server.kubelet_cert
    assert server.kubelet_key
    assert server.kubelet_ca == str(layout.CLUSTER_CA.cert)


def test_the_api_server_speaks_tls_with_everybody_and_the_store_has_an_authority_of_its_own() -> (
    None
):
    server = api_server()
    assert server.cert
    assert server.key
    assert all((server.etcd_ca, server.etcd_cert, server.etcd_key))
    assert server.etcd_ca == str(layout.ETCD_CA.cert) != server.client_ca


def test_etcd_takes_certificates_of_its_own_authority_alone() -> None:
    flags = dict(one.removeprefix("--").split("=", 1) for one in etcd.command(MASTER)[1:])
    ca = str(layout.ETCD_CA.cert)
    assert (flags["client-cert-auth"], flags["peer-client-cert-auth"]) == ("true", "true")
    assert (flags["trusted-ca-file"], flags["peer-trusted-ca-file"]) == (ca, ca)
    assert all(flags[name].startswith("https://") for name in flags if name.endswith("-urls"))
    assert not {"auto-tls", "peer-auto-tls"} & flags.keys()


@pytest.mark.parametrize("is_worker", [False, True])
def test_a_kubelet_serves_with_a_certificate_of_the_cluster(is_worker: bool) -> None:
    found = settings(KubeletSettings, is_worker=is_worker)
    assert isinstance(found, KubeletSettings)
    assert found.serving is not None
    assert found.serving.client_ca == str(layout.CLUSTER_CA.cert)
    assert found.serving.client_name == "system:apiserver"
    assert found.serving.cert != found.serving.client_ca


@pytest.mark.parametrize("kind", [SchedulerSettings, ControllersSettings])
def test_scheduler_and_controllers_listen_on_the_loopback_alone(kind: type[object]) -> None:
    found = settings(kind)
    names = {name for name in dir(found) if name.endswith(("_port", "_address", "_host"))}
    # The one port that they have, and what serves it knows one address.
    assert names == {"metrics_port"}
    assert exporter.LOOPBACK == "127.0.0.1"


def test_no_server_takes_less_than_tls_1_2(tmp_path: Path) -> None:
    ca = pki.new_ca("x", NOW)
    signed = pki.new_cert(Identity("server", (), ("localhost",), is_server=True), ca, NOW)
    for name, content in (("c", signed.cert), ("k", signed.key), ("ca", ca.cert)):
        (tmp_path / name).write_bytes(content)
    cert, key, authority = (str(tmp_path / name) for name in ("c", "k", "ca"))
    context = server_tls(cert, key, authority, Clients.MUST)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
