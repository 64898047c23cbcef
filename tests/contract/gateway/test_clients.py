"""What a policy asks of clients by TLS: its version, and a certificate of an authority."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from cubernetes.host.env import Env
from cuberoot import pki
from cuberoot.program import Identity
from tests.contract.gateway.roads import HOST, ask, serve, served
from tests.contract.gateway.world import ANSWER_S, GatewayWorld, a_gateway_world
from tests.unit.gateway.roadworld import an_ingress
from tests.unit.gateway.test_gateway_policies import a_policy

pytestmark = [pytest.mark.root]
TARGET = {"kind": "Ingress", "name": "shop"}
NOW = Env().clock.now()
OURS, THEIRS = pki.new_ca("ours", NOW), pki.new_ca("theirs", NOW)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with a_gateway_world(tmp_path) as one:
        yield one


class Client(NamedTuple):
    """How a client speaks TLS: with which certificate, of which authority, in which version."""

    folder: Path
    authority: pki.Signed | None = None
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    name: str = HOST

    async def ask(self, world: GatewayWorld, path: str, *more: str) -> str:
        """Return the whole answer. Raises: ssl.SSLError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = self.newest
        if self.authority is not None:
            made = pki.new_cert(Identity("ann", is_client=True), self.authority, NOW)
            pair = self.folder / "client.pem"
            pair.write_bytes(made.cert + made.key)
            context.load_cert_chain(pair)
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", world.facts.https_port, ssl=context, server_hostname=self.name
            )
            lines = (f"GET {path} HTTP/1.1", f"Host: {HOST}", "Connection: close", *more, "", "")
            writer.write("\r\n".join(lines).encode())
            answer = (await reader.read()).decode()
            writer.close()
        return answer

    async def code(self, world: GatewayWorld, path: str) -> str:
        return (await self.ask(world, path)).split(" ")[1]


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
async def test_a_client_of_an_older_tls_is_refused_before_it_asks(
    world: GatewayWorld, version: str, tmp_path: Path
) -> None:
    backend, web = await world.backend("web")
    road = (f"/ web:{backend.port}",)
    both = an_ingress("shop", (HOST, road), ("b.example", road), tls=(("tls", ()),))
    await serve(world, both, [web], a_policy(target=TARGET, tls={"minVersion": version}))
    older = Client(tmp_path, newest=ssl.TLSVersion.TLSv1_2)

    assert await Client(tmp_path).code(world, "/x") == "200"
    if version == "TLSv1.2":
        assert await older.code(world, "/x") == "200"
    else:
        with pytest.raises(ssl.SSLError, match=r"(?i)version"):
            await older.ask(world, "/x")


async def test_other_hosts_speak_tls_as_they_did(world: GatewayWorld, tmp_path: Path) -> None:
    backend, web = await world.backend("web")
    road = (f"/ web:{backend.port}",)
    both = an_ingress("shop", (HOST, road), ("b.example", road), tls=(("tls", ()),))
    target = {**TARGET, "host": "b.example"}
    await serve(world, both, [web], a_policy(target=target, tls={"minVersion": "TLSv1.3"}))

    assert await Client(tmp_path, newest=ssl.TLSVersion.TLSv1_2).code(world, "/x") == "200"


async def test_clients_without_a_certificate_of_the_authority_are_refused(
    world: GatewayWorld, tmp_path: Path
) -> None:
    backend, web = await world.backend("web")
    roads = (f"/ web:{backend.port}", f"/open web:{backend.port}", f"/ask web:{backend.port}")
    ingress = an_ingress("shop", (HOST, roads), ("b.example", roads), tls=(("tls", ()),))
    shown = {"secretName": "clients"}
    policies = (
        a_policy("closed", {**TARGET, "host": HOST}, tls={"clientCertificates": shown}),
        a_policy("open", {**TARGET, "host": HOST, "path": "/open"}, tls={"hstsSeconds": 1}),
        a_policy(
            "ask",
            {**TARGET, "host": HOST, "path": "/ask"},
            tls={"clientCertificates": {**shown, "mode": "Optional"}},
        ),
    )
    await serve(world, ingress, [web], *policies, authorities={"clients": OURS.cert})
    nobody, ours, theirs = Client(tmp_path), Client(tmp_path, OURS), Client(tmp_path, THEIRS)

    assert await ours.code(world, "/x") == "200"
    assert await nobody.code(world, "/x") == "403"
    assert await theirs.code(world, "/x") == "400"
    # Without TLS nothing can be shown.
    assert (await ask(world, "/x"))[0] == "403"
    assert await nobody.code(world, "/open/x") == "200"
    # Nor does TLS with another host lead around it.
    assert await Client(tmp_path, name="b.example").code(world, "/x") == "421"
    told = backend.heads[-1].lower()
    assert "x-ssl-client-subject-dn" not in told
    forged = "X-SSL-Client-Verify: SUCCESS"
    assert " 200 " in await nobody.ask(world, "/ask", forged)
    assert "x-ssl-client-verify: none" in backend.heads[-1].lower()
    assert backend.heads[-1].count("SUCCESS") == 0
    assert await ours.code(world, "/ask") == "200"
    assert "x-ssl-client-verify: success" in backend.heads[-1].lower()
    assert "x-ssl-client-subject-dn: cn=ann" in backend.heads[-1].lower()
    assert "x-ssl-client-issuer-dn: cn=ours" in backend.heads[-1].lower()


async def test_another_authority_is_served_after_a_reload_and_none_refuses_everybody(
    world: GatewayWorld, tmp_path: Path
) -> None:
    backend, web = await world.backend("web")
    ingress = an_ingress("shop", (HOST, (f"/ web:{backend.port}",)), tls=(("tls", ()),))
    policy = a_policy(target=TARGET, tls={"clientCertificates": {"secretName": "clients"}})
    ours, theirs = Client(tmp_path, OURS), Client(tmp_path, THEIRS)

    await serve(world, ingress, [web], policy, authorities={"clients": OURS.cert})
    assert [await one.code(world, "/x") for one in (ours, theirs)] == ["200", "400"]
    await serve(world, ingress, [web], policy, authorities={"clients": THEIRS.cert})
    assert [await one.code(world, "/x") for one in (ours, theirs)] == ["400", "200"]
    none = "it is not there"
    problems = await served(world, ingress, [web], policy, authorities={"clients": none})
    assert problems == {policy.ref: (f"client certificates: secret clients: {none}",)}
    assert [await one.code(world, "/x") for one in (ours, theirs)] == ["403", "403"]


async def test_what_a_service_says_of_hsts_goes_before_what_the_policy_says(
    world: GatewayWorld, tmp_path: Path
) -> None:
    backend, web = await world.backend("web")
    ingress = an_ingress("shop", (HOST, (f"/ web:{backend.port}",)), tls=(("tls", ()),))
    await serve(world, ingress, [web], a_policy(target=TARGET, tls={"hstsSeconds": 60}))

    name = "strict-transport-security: "
    said = (await Client(tmp_path).ask(world, "/x")).lower()
    assert said.count(name) == 1
    assert f"{name}max-age=60" in said
    backend.more_head = "Strict-Transport-Security: max-age=5\r\n"
    said = (await Client(tmp_path).ask(world, "/x")).lower()
    assert said.count(name) == 1
    assert f"{name}max-age=5\r" in said
