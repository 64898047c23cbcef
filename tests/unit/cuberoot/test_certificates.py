"""Certificates are made where they are not good; the authorities are made once."""

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from cuberoot import certificates, pki
from cuberoot.certificates import AUTHORITIES
from cuberoot.cluster import Cluster
from cuberoot.host.journal import Journal
from cuberoot.layout import pair
from cuberoot.pki import CERT_LIFE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD = NOW + CERT_LIFE * 0.7
MASTER = Cluster(
    role="control-plane",
    node_name="n1",
    address="192.168.78.11",
    servers=("https://192.168.78.11:6443",),
    python="/opt/cube/bin/python",
)
WORKER = msgspec.structs.replace(MASTER, role="worker")
PROGRAMS = {
    "etcd",
    "apiserver",
    "scheduler",
    "controllers",
    "admin",
    "monitoring",
    "kubelet",
    "proxy",
    "resolver",
}


class Machine:
    """A machine's folder of certificates, and the journal of what was put there."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "pki"
        self._journal = root / "journal.json"

    def make(self, now: datetime = NOW, *, is_renewal: bool = False) -> frozenset[str]:
        journal = Journal(self._journal)
        folder = self.folder
        owners = certificates.made_for(MASTER, now, is_renewal=is_renewal, folder=folder)
        certificates.make(MASTER, journal, now, is_renewal=is_renewal, folder=folder)
        return owners

    def replace_token_key(self) -> None:
        certificates.replace_token_key(Journal(self._journal), NOW, self.folder)

    def content(self) -> Mapping[str, bytes]:
        return {one.name: one.read_bytes() for one in self.folder.iterdir()}

    def changed_since(self, before: Mapping[str, bytes]) -> set[str]:
        """Return the certificates whose files are not what they were: both, or it fails."""
        after = self.content()
        changed = {name for name in after if before.get(name) != after[name]}
        names = {Path(name).stem for name in changed}
        assert changed == {f"{name}.{end}" for name in names for end in ("crt", "key")}
        return names


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a machine whose certificates are made; nobody changes it."""
    root = tmp_path_factory.mktemp("pattern")
    Machine(root).make()
    return root


@pytest.fixture
def made(machine: Machine, pattern: Path, tmp_path: Path) -> Machine:
    shutil.copytree(pattern / "pki", tmp_path / "pki")
    # The journal names whole paths.
    noted = (pattern / "journal.json").read_text()
    (tmp_path / "journal.json").write_text(noted.replace(str(pattern), str(tmp_path)))
    return machine


def test_everything_that_is_missing_is_made_and_belongs_together(machine: Machine) -> None:
    assert machine.make() == PROGRAMS
    for name in (*certificates.names_of(MASTER), *AUTHORITIES):
        assert certificates.is_good(name, NOW, machine.folder), name


def test_what_is_good_is_kept(made: Machine) -> None:
    before = made.content()

    assert made.make(NOW + CERT_LIFE / 2) == set()
    assert made.content() == before


def test_what_is_near_its_end_is_made_anew_and_the_authorities_stay(made: Machine) -> None:
    before = made.content()

    assert made.make(OLD) == PROGRAMS
    assert made.changed_since(before) == set(certificates.names_of(MASTER))


def test_another_key_for_tokens_leaves_the_public_half_of_the_old_one(made: Machine) -> None:
    key = pair("service-accounts", made.folder).key
    old = key.read_bytes()
    made.replace_token_key()

    assert key.read_bytes() != old
    (retired,) = (made.folder / "service-accounts-retired").iterdir()
    assert retired.name == f"{int(NOW.timestamp())}.pub"
    assert retired.read_bytes() == pki.public_key(old)
    # The other authorities, and all certificates, are what they were.
    assert made.make() == frozenset()


def test_a_renewal_makes_all_but_the_authorities_anew(made: Machine) -> None:
    before = made.content()

    assert made.make(is_renewal=True) == PROGRAMS
    assert made.changed_since(before) == set(certificates.names_of(MASTER))


@pytest.mark.parametrize("name", certificates.names_of(MASTER))
@pytest.mark.parametrize("trouble", ["no key", "no certificate", "a key of another", "garbage"])
def test_what_is_broken_is_made_anew_and_nothing_else(
    made: Machine, name: str, trouble: str
) -> None:
    before = made.content()
    own = pair(name, made.folder)
    match trouble:
        case "no key":
            own.key.unlink()
        case "no certificate":
            own.cert.unlink()
        case "a key of another":
            own.key.write_bytes(pki.new_ca("another", NOW).key)
        case _:
            own.cert.write_bytes(b"half a certifi")

    assert made.make() == certificates.owners_of([name])
    assert made.changed_since(before) == {name}
    assert certificates.is_good(name, NOW, made.folder)


def test_the_first_end_counts(made: Machine) -> None:
    assert certificates.ends_at(MASTER, made.folder) == NOW + CERT_LIFE
    made.make(OLD, is_renewal=True)
    assert certificates.ends_at(MASTER, made.folder) == OLD + CERT_LIFE
    assert certificates.names_of(WORKER) == ("kubelet", "kubelet-serving", "proxy", "resolver")


@pytest.mark.parametrize("domain", ["cluster.local", "shop.example"])
def test_the_api_server_is_certified_under_the_clusters_domain(domain: str) -> None:
    cluster = msgspec.structs.replace(MASTER, cluster_domain=domain)
    machine = certificates.machine_of(cluster)
    (server,) = (one for one in certificates.certificates_of(cluster) if one.name == "apiserver")

    names = server.identity(machine).names
    assert {"kubernetes.default.svc", f"kubernetes.default.svc.{domain}"} <= set(names)
