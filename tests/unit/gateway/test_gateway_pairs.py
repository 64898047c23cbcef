"""Certificates before nginx has them: what is served, and why something is not."""

import base64
import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.core.data.configdata import encoded
from cubernetes.api.core.service import ServicePort
from cubernetes.api.roads import roads_of
from cubernetes.host.env import Env
from cuberoot import pki
from cuberoot.program import Identity
from gateway.nginx.driver import Driver
from gateway.nginx.text import Facts, configuration_for
from gateway.nginx.tree import Tree
from gateway.roads.compile import SELF_MADE, UNREAD, model_for, secrets_of
from gateway.roads.model import Model, SecretRef
from gateway.tls.pairs import BadPair, authorities_in, ends_at, needs_another, pair_in, self_made
from gateway.tls.secrets import FOLLOWED_MAX, kept_among
from tests.given import NOW, a_service
from tests.unit.gateway.roadworld import an_ingress

CA = pki.new_ca("test", NOW)
ONE, OTHER = (pki.new_cert(Identity(name, is_server=True), CA, NOW) for name in "ab")


def data(cert: bytes, key: bytes) -> dict[str, str]:
    return {"tls.crt": encoded(cert), "tls.key": encoded(key)}


def test_a_chain_and_its_key_are_one_file_of_nothing_else() -> None:
    noise = b"Bag Attributes\n"

    assert (
        pair_in(data(noise + ONE.cert + noise + CA.cert, ONE.key)) == ONE.cert + CA.cert + ONE.key
    )


@pytest.mark.parametrize(
    ("cert", "key", "why"),
    [
        (b"", ONE.key, "tls.crt is empty"),
        (ONE.cert, b"", "tls.key is empty"),
        (b"noise", ONE.key, "tls.crt holds no certificates in PEM"),
        (ONE.cert, b"noise", "tls.key holds no key in PEM without a passphrase"),
        (ONE.cert, OTHER.key, "tls.key is not the key of tls.crt"),
        (CA.cert + ONE.cert, ONE.key, "tls.key is not the key of tls.crt"),
        (ONE.cert * 17, ONE.key, "tls.crt holds more than 16 certificates"),
    ],
)
def test_what_is_no_pair_is_told_without_what_is_secret(cert: bytes, key: bytes, why: str) -> None:
    with pytest.raises(BadPair) as refused:
        pair_in(data(cert, key))

    assert str(refused.value) == why


def a_key(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.mark.parametrize(
    "key",
    [
        a_key(rsa.generate_private_key(65537, 1024)),  # noqa: S505  that is the point
        a_key(ec.generate_private_key(ec.SECP256K1())),
    ],
)
def test_a_key_that_nginx_could_not_serve_is_told(key: bytes) -> None:
    with pytest.raises(BadPair, match=r"must be RSA of 2048 to 4096 bits, Ed25519, or of the"):
        pair_in(data(ONE.cert, key))


# A serial number that is negative: OpenSSL serves such a certificate all the same.
@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
@given(st.data())
def test_a_certificate_with_any_bytes_changed_is_a_pair_or_is_told(chance: st.DataObject) -> None:
    der = bytearray(
        x509.load_pem_x509_certificate(ONE.cert).public_bytes(serialization.Encoding.DER)
    )
    for _ in range(chance.draw(st.integers(1, 3))):
        der[chance.draw(st.integers(0, len(der) - 1))] ^= chance.draw(st.integers(1, 255))
    text = base64.encodebytes(bytes(der))
    cert = b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"
    pair = b""
    with suppress(BadPair):
        pair = pair_in(data(cert, ONE.key))
    assert not pair or pair.endswith(ONE.key)


def test_a_certificate_whose_point_is_on_no_curve_is_told() -> None:
    cert = x509.load_pem_x509_certificate(ONE.cert)
    point = cert.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )[-8:]
    der = cert.public_bytes(serialization.Encoding.DER)
    other = der.replace(point, bytes([*point[:-1], point[-1] ^ 1]))
    text = base64.encodebytes(other)
    bad = b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"

    with pytest.raises(BadPair, match=r"tls\.crt has a key that cannot be read"):
        pair_in(data(bad, ONE.key))


def test_a_certificate_of_a_version_that_is_none_is_told() -> None:
    """The library's own exception ended the gateway."""
    der = x509.load_pem_x509_certificate(ONE.cert).public_bytes(serialization.Encoding.DER)
    # Version 3 is written as 2.
    other = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1)
    text = base64.encodebytes(other)
    bad = b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"

    with pytest.raises(BadPair, match=r"tls\.crt holds no certificates in PEM"):
        pair_in(data(bad, ONE.key))
    with pytest.raises(BadPair, match="no certificate"):
        ends_at(bad)


def test_the_self_made_pair_is_made_anew_before_it_ends() -> None:
    pair = self_made(NOW)

    assert ends_at(pair) > NOW + timedelta(days=364)
    assert not needs_another(pair, NOW)
    assert needs_another(pair, NOW + timedelta(days=336))
    assert needs_another(None, NOW)
    assert needs_another(b"noise", NOW)


def test_a_secret_that_is_not_read_keeps_the_certificate_that_is_there() -> None:
    """Where more were named than are read, self-made certificates took the place of good ones."""
    ingress = an_ingress("shop", ("a.example", ("/ web",)), tls=(("far", ("a.example",)),))
    roads = roads_of([ingress], [], [])
    web = a_service("web", ports=(ServicePort(port=80),))

    model = model_for(roads, [web], {SecretRef("default", "far"): None})

    assert model.certificates == {}
    assert model.problems == {ingress.ref: (f"TLS of a.example: secret far: {UNREAD}",)}


def test_secrets_that_are_followed_are_followed_on_before_others() -> None:
    some = [SecretRef("default", f"{index:05}") for index in range(FOLLOWED_MAX + 10)]
    followed = set(some[5:])

    assert kept_among(set(some), set()) == set(some[:FOLLOWED_MAX])
    assert kept_among(set(some), followed) == set(some[5 : FOLLOWED_MAX + 5])
    assert kept_among(set(some[:7]), followed) == set(some[:7])


async def test_what_is_on_the_disk_of_a_secret_not_known_yet_is_served_on(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root", os.getgid())
    driver = Driver(NoNginx(), tree, Env())
    await driver.begin(configuration_for(Model(), Facts()))
    own = tree.certificate(SELF_MADE)
    await driver.certify({"one": b"pair", "two": b"pair", "bad": None}, ["one", "two", "bad"])

    await driver.certify({"two": None}, ["one", "two", "bad", "new", SELF_MADE, ""])
    found = {name: tree.certificate(name) for name in ("one", "two", "bad", "new", SELF_MADE)}
    assert found == {"one": b"pair", "two": own, "bad": own, "new": own, SELF_MADE: own}


class CountedTree(Tree):
    """A tree that counts what is read of it."""

    read_count = 0

    def certificate(self, name: str) -> bytes | None:
        self.read_count += 1
        return super().certificate(name)


async def test_certificates_are_read_again_where_they_change_and_at_a_beginning(
    tmp_path: Path,
) -> None:
    """Each turn read all files, up to twenty times a second."""
    tree = CountedTree(tmp_path / "root", os.getgid())
    driver, empty = Driver(NoNginx(), tree, Env()), configuration_for(Model(), Facts())
    await driver.begin(empty)

    async def read_count_of(**pairs: bytes) -> int:
        before = tree.read_count
        await driver.certify(pairs, ["one", "two"])
        await driver.keep_certificates(["one", "two"])
        return tree.read_count - before

    assert await read_count_of(one=b"pair") > 0
    assert await read_count_of(one=b"pair") == 0
    assert await read_count_of(one=b"other") > 0
    assert tree.certificate("one") == b"other"
    (tmp_path / "root" / "tls" / "one.pem").unlink()
    await driver.begin(empty)
    assert await read_count_of(one=b"other") > 0
    assert tree.certificate("one") == b"other"
    await driver.keep_certificates(["one"])
    assert tree.certificate("two") is None


class NoNginx:
    """Nothing runs, and nothing is asked."""

    async def ensure(self) -> bool:
        return False

    async def test(self, generation: str) -> None:
        raise AssertionError(generation)

    async def reload(self) -> None:
        raise AssertionError

    async def serving(self) -> str:
        raise AssertionError

    async def request_log(self) -> Path | None:
        raise AssertionError

    async def remove(self) -> None:
        raise AssertionError


def test_a_certificate_that_is_no_good_is_told_and_one_not_known_yet_is_left_alone() -> None:
    tls = (("good", ("a.example",)), ("bad", ("b.example",)), ("late", ("c.example",)), ("", ()))
    rules = tuple((f"{name}.example", ("/ web",)) for name in "abcd")
    ingress = an_ingress("shop", *rules, tls=tls)
    roads = roads_of([ingress], [], [])
    wanted = {SecretRef("default", name) for name in ("good", "bad", "late")}
    assert secrets_of(roads) == wanted

    pairs: dict[SecretRef, bytes | str] = {
        SecretRef("default", "good"): b"pair",
        SecretRef("default", "bad"): "it is not there",
    }
    model = model_for(roads, [a_service("web", ports=(ServicePort(port=80),))], pairs)

    assert model.problems == {
        ingress.ref: (
            "TLS of b.example: secret bad: it is not there; the self-made certificate serves",
        )
    }
    files = {host.name: host.certificate for host in model.hosts}
    assert files["d.example"] == SELF_MADE
    assert len(set(files.values())) == 4
    assert model.certificates == {files["a.example"]: b"pair", files["b.example"]: None}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "ca.crt is empty"),
        (b"no certificate", "ca.crt holds no certificates in PEM"),
        (pki.new_ca("a", NOW).cert * 65, "ca.crt holds more than 64 certificates"),
    ],
    ids=["empty", "text", "many"],
)
def test_what_holds_no_authorities_is_told(content: bytes, why: str) -> None:
    with pytest.raises(BadPair, match=why):
        authorities_in({"ca.crt": encoded(content)})


def test_authorities_are_written_anew_and_nothing_else_with_them() -> None:
    ca = pki.new_ca("a", NOW)

    assert authorities_in({"ca.crt": encoded(b"ssl_verify_client off;\n" + ca.cert)}) == ca.cert
