"""Roads and policies as a gateway's contract tests serve them, and requests that take them."""

import asyncio
from collections.abc import Iterable, Mapping

from cubernetes.api.core.service import Service
from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.cubernetes.routepolicy import RoutePolicy
from cubernetes.api.discovery.endpointslice import EndpointPort, EndpointSlice
from cubernetes.api.meta import Ref
from cubernetes.api.networking.ingress import Ingress
from cubernetes.api.roads import roads_of
from cuberoot import pki
from cuberoot.program import Identity
from gateway.nginx.text import configuration_for
from gateway.roads.compile import model_for
from gateway.roads.model import SecretRef
from tests.contract.gateway.world import ANSWER_S, Backend, GatewayWorld
from tests.given import NOW, a_service, a_slice, an_endpoint
from tests.unit.gateway.roadworld import CLASSES

HOST = "a.example"
CA = pki.new_ca("test", NOW)


def a_pair(name: str) -> bytes:
    """Return a certificate and its key for a name."""
    made = pki.new_cert(Identity(name, is_server=True), CA, NOW)
    return made.cert + made.key


async def served(
    world: GatewayWorld,
    claimant: Dns | Ingress,
    services: Iterable[Service],
    *policies: RoutePolicy,
    slices: Iterable[EndpointSlice] = (),
    authorities: Mapping[str, bytes | str] | None = None,
) -> Mapping[Ref, tuple[str, ...]]:
    """Have roads served; return what of them is not."""
    ingresses = [claimant] if isinstance(claimant, Ingress) else []
    roads = roads_of(ingresses, CLASSES, [claimant] if isinstance(claimant, Dns) else [])
    pairs = {SecretRef("default", "tls"): a_pair(HOST)}
    known = {SecretRef("default", name): one for name, one in (authorities or {}).items()}
    model = model_for(roads, services, pairs, policies, slices, known)
    await world.driver.certify(model.certificates, model.files)
    await world.driver.apply(configuration_for(model, world.facts))
    return model.problems


async def serve(
    world: GatewayWorld,
    claimant: Dns | Ingress,
    services: Iterable[Service],
    *policies: RoutePolicy,
    slices: Iterable[EndpointSlice] = (),
    authorities: Mapping[str, bytes | str] | None = None,
) -> None:
    """Have roads served, all of them."""
    problems = await served(
        world, claimant, services, *policies, slices=slices, authorities=authorities
    )
    assert not problems


async def ask(
    world: GatewayWorld, path: str = "/x", method: str = "GET", body: str = "", **headers: str
) -> tuple[str, dict[str, str], str]:
    """Return the code, the headers and the body of one request's answer."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}"] if body else []
    async with asyncio.timeout(ANSWER_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.facts.http_port)
        writer.write(("\r\n".join([*lines, "", ""]) + body).encode())
        answer = (await reader.read()).decode()
        while more := await reader.read():
            answer += more.decode()
        writer.close()
    head, _, content = answer.partition("\r\n\r\n")
    first, *rest = head.split("\r\n")
    told = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
    return first.split(" ")[1], told, content


async def endpoints(
    world: GatewayWorld, *names: str
) -> tuple[Service, list[EndpointSlice], list[Backend]]:
    """Return a service without a cluster IP that works, and an endpoint of each name behind it."""
    made = [(await world.backend(name))[0] for name in names]
    slices = [
        a_slice(
            f"web-{one.name}",
            endpoints=(an_endpoint("127.0.0.1"),),
            ports=(EndpointPort(port=one.port),),
        )
        for one in made
    ]
    return a_service("web", cluster_ip="192.0.2.1"), slices, made
