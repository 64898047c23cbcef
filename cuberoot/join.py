"""How a machine joins: the pin is checked before anything secret leaves it.

First the cluster's CA is asked for without trust, and compared with the pin; then, over TLS that
this CA vouches for, the token and the certificate requests are sent. Keys never leave the machine.
"""

import asyncio
import http.client
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

import msgspec

from cubernetes.api.bodies.envelopes import Status
from cubernetes.api.bodies.joining import (
    CLUSTER_INFO_PATH,
    JOIN_PATH,
    JoinAnswer,
    JoinRequest,
)
from cubernetes.api.coding import codec
from cubernetes.client.httptransport import HttpTransport
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cuberoot import certificates, layout, pki
from cuberoot.cluster import API_PORT, Cluster, NetworkKind, PodNetwork
from cuberoot.compile import READABLE
from cuberoot.host.journal import Journal
from cuberoot.host.pending import Pending
from cuberoot.layout import pair
from cuberoot.pki import Signed
from cuberoot.program import Machine
from cuberoot.registry import programs_for

DEADLINE_S = 15.0
CA_BYTES_MAX = 64 * 1024
AGAIN = "join again, with what `cuberoot token create --node NAME` prints on the control plane"


class JoinRefused(Exception):
    """Joining stopped; the text says which check failed, and what would help."""


class Place(NamedTuple):
    """The node that a machine is to be. network: in which its address may change, if any."""

    name: str
    addresses: tuple[str, ...]
    network: str = ""


def place_of(cluster: Cluster) -> Place:
    return Place(cluster.node_name, (cluster.address,), cluster.address_network)


class Ticket(NamedTuple):
    """What joining gave: signed certificates with our own keys, and the cluster's facts."""

    certificates: dict[str, Signed]
    ca: bytes
    servers: tuple[str, ...]
    service_range: str
    pod_range: str
    cluster_domain: str
    network: PodNetwork


async def joined(
    server: str,
    token: str,
    ca_hash: str,
    place: Place,
    env: Env,
    enabled: Sequence[str] = (),
) -> Ticket:
    """Join the cluster at server, with certificates for the optional programs that are enabled.

    Raises: JoinRefused.
    """
    host, port = _address(server)
    check_pin(ca_hash)
    ca = await _trusted_ca(host, port, ca_hash)
    with NamedTemporaryFile(suffix=".crt") as file:
        file.write(ca)
        file.flush()
        transport = HttpTransport([f"https://{host}:{port}"], Path(file.name), token=token)
    return await _signed(transport, place, ca, env, enabled)


async def renewed(cluster: Cluster, env: Env) -> Ticket:
    """Ask for others in the place of this node's certificates, by the one that it has.

    Raises: JoinRefused.
    """
    own = pair("kubelet")
    try:
        ca = layout.CLUSTER_CA.cert.read_bytes()
        transport = HttpTransport(cluster.servers, layout.CLUSTER_CA.cert, own.cert, own.key)
    except OSError as error:  # ssl.SSLError too: a key that is not its certificate's
        raise JoinRefused(f"this node's certificate cannot be used ({error}): {AGAIN}") from error
    return await _signed(transport, place_of(cluster), ca, env, cluster.enabled)


async def _signed(
    transport: HttpTransport,
    place: Place,
    ca: bytes,
    env: Env,
    enabled: Sequence[str],
) -> Ticket:
    machine = Machine(place.name, (place.name,), place.addresses, "", cluster_domain="")
    requests = {
        one.name: pki.new_request(one.identity(machine))
        for program in programs_for("worker", enabled)
        for one in program.certificates
    }
    wish = JoinRequest(
        node=place.name,
        addresses=place.addresses,
        requests={key: one.cert.decode() for key, one in requests.items()},
        address_network=place.network,
    )
    answer = await _ask(transport, wish, env)
    missing = [one for one in requests if one not in answer.certificates]
    if missing:
        raise JoinRefused(f"the cluster signed no certificate for {', '.join(missing)}")
    return Ticket(
        certificates={
            key: Signed(answer.certificates[key].encode(), one.key) for key, one in requests.items()
        },
        ca=ca,
        servers=answer.servers,
        service_range=answer.service_range,
        pod_range=answer.pod_range,
        cluster_domain=answer.cluster_domain,
        network=_network_of(answer),
    )


def _network_of(answer: JoinAnswer) -> PodNetwork:
    try:
        kind = msgspec.convert(answer.network, NetworkKind)
    except msgspec.ValidationError as error:
        raise JoinRefused(
            f"the cluster's pod network is {answer.network[:40]!r}, which this version does not "
            "have: install the version that its control plane runs"
        ) from error
    return PodNetwork(kind, answer.cni_config, answer.weave_password)


def write_certificates(ticket: Ticket, journal: Journal) -> None:
    """Write what the cluster has signed; note which programs must begin anew."""
    Pending(journal).add(certificates.owners_of(ticket.certificates))
    for name, signed in ticket.certificates.items():
        certificates.write(name, signed, journal)
    journal.file(layout.CLUSTER_CA.cert, ticket.ca, READABLE)


def _address(server: str) -> tuple[str, int]:
    host, _, port = server.removeprefix("https://").partition(":")
    if not host or not (port or "1").isdecimal():
        raise JoinRefused(f"{server!r} must be address or address:port")
    return host, int(port or API_PORT)


def check_pin(ca_hash: str) -> None:
    """Refuse what is no whole pin, before anybody is asked.

    Raises: JoinRefused.
    """
    if not pki.is_pin(ca_hash.strip().lower()):
        form = f"{pki.PIN_PREFIX} and 64 hexadecimal digits"
        raise JoinRefused(f"--ca-hash: {ca_hash[:80]!r} is no whole pin: it must be {form}")


async def _trusted_ca(host: str, port: int, ca_hash: str) -> bytes:
    """Return the cluster's CA, once its key has the hash that was pinned."""
    try:
        ca = await asyncio.to_thread(_fetch_ca, host, port)
    except (OSError, http.client.HTTPException) as error:
        raise JoinRefused(f"https://{host}:{port}{CLUSTER_INFO_PATH}: {error}") from error
    try:
        found = pki.pin_of(ca)
    except ValueError as error:
        raise JoinRefused(f"https://{host}:{port} gives no certificate: {error}") from error
    if found != ca_hash.strip().lower():
        raise JoinRefused(
            f"the certificate of https://{host}:{port} has the pin {found}, not {ca_hash}: "
            "this is another cluster, or somebody is in between. Nothing secret was sent"
        )
    return ca


def _fetch_ca(host: str, port: int) -> bytes:
    """Ask without trust: all that leaves is the question, all that counts is the pin."""
    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(host, port, timeout=DEADLINE_S, context=blind)
    try:
        connection.request("GET", CLUSTER_INFO_PATH)
        response = connection.getresponse()
        body = response.read(CA_BYTES_MAX)
    finally:
        connection.close()
    if response.status != 200:
        raise http.client.HTTPException(f"answers {response.status}")
    return body


async def _ask(transport: HttpTransport, wish: JoinRequest, env: Env) -> JoinAnswer:
    client = Client(transport, env, agent=f"cuberoot/{socket.gethostname()}")
    try:
        response = await client.raw("POST", JOIN_PATH, body=codec.encode(wish))
    except TransportError as error:
        raise JoinRefused(f"the API server: {error}") from error
    finally:
        await client.close()
    body = response.body if isinstance(response.body, bytes) else b""
    if response.status not in (200, 201):
        raise JoinRefused(f"the API server answers {response.status}: {_words_of(body)}")
    return codec.decode(JoinAnswer, body)


def _words_of(body: bytes) -> str:
    try:
        return codec.decode(Status, body).message
    except msgspec.DecodeError:
        return body[:200].decode(errors="replace")
