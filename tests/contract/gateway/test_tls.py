"""TLS at the gateway, by the nginx of the image and by OpenSSL's client in Python."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509

from cubernetes.api.core.service import Service
from cubernetes.api.networking.ingress import Ingress
from cubernetes.api.roads import roads_of
from gateway.nginx.text import configuration_for
from gateway.roads.compile import model_for
from gateway.roads.model import Model, SecretRef
from gateway.tls.pairs import SELF_MADE_NAME
from tests.contract.gateway.roads import a_pair
from tests.contract.gateway.world import ANSWER_S, GatewayWorld, a_gateway_world
from tests.unit.gateway.roadworld import CLASSES, an_ingress

pytestmark = [pytest.mark.root]
FOLLOWED_S = 60.0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with a_gateway_world(tmp_path) as one:
        yield one


async def serve(
    world: GatewayWorld, ingress: Ingress, services: list[Service], **pairs: bytes | str
) -> tuple[Model, bool]:
    """Have nginx serve an Ingress with Secrets; tell whether it was reloaded."""
    known = {SecretRef("default", name): pair for name, pair in pairs.items()}
    model = model_for(roads_of([ingress], CLASSES, []), services, known)
    files = [host.certificate for host in model.hosts]
    await world.driver.certify(model.certificates, files)
    is_new = await world.driver.apply(configuration_for(model, world.facts))
    await world.driver.keep_certificates(files)
    return model, is_new


async def shaken(world: GatewayWorld, host: str) -> tuple[str, str, str]:
    """Return who the server says it is, the protocol that it chose, and the answer to a GET."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with asyncio.timeout(ANSWER_S):
        chosen = await certificate_and_protocol(world, host, context)
        context.set_alpn_protocols(["http/1.1"])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", world.facts.https_port, ssl=context, server_hostname=host
        )
        writer.write(f"GET /x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    code = head.split(" ")[1]
    return (*chosen, f"{code} {body}" if code == "200" else code)


async def certificate_and_protocol(
    world: GatewayWorld, host: str, context: ssl.SSLContext
) -> tuple[str, str]:
    _, writer = await asyncio.open_connection(
        "127.0.0.1", world.facts.https_port, ssl=context, server_hostname=host
    )
    spoken = writer.get_extra_info("ssl_object")
    found = x509.load_der_x509_certificate(spoken.getpeercert(binary_form=True))
    writer.close()
    names = found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value), str(spoken.selected_alpn_protocol())


async def until_certified(world: GatewayWorld, host: str, name: str) -> None:
    async with asyncio.timeout(FOLLOWED_S):
        while True:
            if (await shaken(world, host))[0] == name:
                return
            await asyncio.sleep(0.1)


async def test_each_host_has_its_certificate_and_a_new_one_needs_no_reload(
    world: GatewayWorld,
) -> None:
    backend, web = await world.backend("web")
    path = (f"/ web:{backend.port}",)
    tls = (("one", ("a.example",)), ("two", ("*.b.example",)), ("none", ("c.example",)))
    hosts = ("a.example", "*.b.example", "c.example", "plain.example")
    ingress = an_ingress("shop", *((host, path) for host in hosts), tls=tls)
    pairs = {"one": a_pair("a.example"), "two": a_pair("b.example")}
    none = "it is not there"
    model, _ = await serve(world, ingress, [web], none=none, **pairs)

    answer = "200 web /x"
    assert await shaken(world, "a.example") == ("a.example", "h2", answer)
    assert await shaken(world, "x.b.example") == ("b.example", "h2", answer)
    assert await shaken(world, "c.example") == (SELF_MADE_NAME, "h2", answer)
    # Neither is what is served without TLS alone, or not at all.
    for host in ("plain.example", "x.example"):
        assert await shaken(world, host) == (SELF_MADE_NAME, "h2", "404")
    assert await world.ask("plain.example", "/x") == answer
    assert list(model.problems) == [ingress.ref]

    new = {**pairs, "one": a_pair("another"), "none": a_pair("c.example")}
    model, is_reloaded = await serve(world, ingress, [web], **new)
    assert not is_reloaded
    assert not model.problems
    await until_certified(world, "a.example", "another")
    await until_certified(world, "c.example", "c.example")

    # Only nginx's workers and root may read what is secret, and what nobody names is gone.
    folder = world.nginx.root / "etc/cube-gateway/tls"
    assert {oct(one.stat().st_mode & 0o777) for one in folder.glob("*.pem")} == {"0o640"}
    assert len(list(folder.iterdir())) == 4
    await serve(world, an_ingress("shop", ("a.example", path)), [web])
    assert [one.name for one in folder.iterdir()] == ["self-made.pem"]


async def test_what_is_not_known_yet_leaves_the_certificate_of_before(world: GatewayWorld) -> None:
    backend, web = await world.backend("web")
    tls = (("one", ("a.example",)),)
    ingress = an_ingress("shop", ("a.example", (f"/ web:{backend.port}",)), tls=tls)

    await serve(world, ingress, [web])
    assert (await shaken(world, "a.example"))[0] == SELF_MADE_NAME
    await serve(world, ingress, [web], one=a_pair("a.example"))
    await until_certified(world, "a.example", "a.example")
    await serve(world, ingress, [web])
    assert (await shaken(world, "a.example"))[0] == "a.example"


@pytest.mark.parametrize("tls", [(), (("all", ()),), (("one", ("a.example",)),)], ids=str)
async def test_tls_never_reaches_the_roads_of_a_host_that_has_none(
    world: GatewayWorld, tls: tuple[tuple[str, tuple[str, ...]], ...]
) -> None:
    """nginx led such requests to the roads of every host, whether those had TLS or not."""
    backend, web = await world.backend("web")
    road = (f"/ web:{backend.port}",)
    every = an_ingress("every", ("", road), tls=tls)
    named = an_ingress("named", ("a.example", road), tls=(("one", ("a.example",)),))
    plain = an_ingress("plain", ("plain.example", road), ("*.wild.example", road))
    known = {SecretRef("default", name): a_pair(name) for name in ("all", "one")}
    model = model_for(roads_of([every, named, plain], CLASSES, []), [web], known)
    await world.driver.certify(model.certificates, [host.certificate for host in model.hosts])
    await world.driver.apply(configuration_for(model, world.facts))

    answer = "200 web /x"
    has_rest = tls == (("all", ()),)
    rest = ("all", "h2", answer) if has_rest else (SELF_MADE_NAME, "h2", "404")
    assert await shaken(world, "a.example") == ("one", "h2", answer)
    assert await shaken(world, "b.example") == rest
    for host in ("plain.example", "x.wild.example"):
        assert await shaken(world, host) == (SELF_MADE_NAME, "h2", "404")
        assert await world.ask(host, "/x") == answer
    assert await world.ask("b.example", "/x") == answer
