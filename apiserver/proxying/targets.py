"""What `web`, `web:http` and `https:web:8443` mean: which port of which pods. Pure.

A target is always a pod, whose kubelet knows where it is, and never an address: whatever a status
or an EndpointSlice says, nothing else can be reached.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import PodSpec, every_container
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.errors import BadRequest, ServiceUnavailable
from cubernetes.api.names import is_subdomain

SCHEMES = ("http", "https")
DEFAULT_PORT = 80
PORT_MAX = 65535
LOCATOR_CHARS_MAX = 400
_LOCATOR = re.compile(r"[a-z0-9.-]*:[a-z0-9.:-]*\Z")


class Spot(NamedTuple):
    """An object's name, and how it is reached. port: a number, a name, or empty."""

    scheme: str
    name: str
    port: str


class Place(NamedTuple):
    """A port of a pod of the namespace that is asked about."""

    pod: str
    port: int


def is_locator(text: str) -> bool:
    """Whether a segment of a path is a name with a scheme or a port; they have colons."""
    return len(text) <= LOCATOR_CHARS_MAX and _LOCATOR.match(text) is not None


def spot_in(text: str, what: str) -> Spot:
    """Return what `[scheme:]name[:port]` says; what is the kind, for a refusal.

    Raises: BadRequest.
    """
    parts = text.split(":")
    if len(parts) < 3:
        parts = ["", *parts, ""][:3]
    scheme, name, port = parts[:3]
    is_known = scheme in ("", *SCHEMES)
    if len(parts) > 3 or not is_known or not is_subdomain(name):
        form = "must be name, name:port or scheme:name:port, with http or https as scheme"
        raise BadRequest(f'invalid {what} request "{text[:80]}": it {form}')
    return Spot(scheme or SCHEMES[0], name, port)


def pod_port(spec: PodSpec, port: str) -> int:
    """Return the port of a pod that is meant; none is the first one that it names, else 80.

    Raises: BadRequest: it has no such port.
    """
    named = [one for container in every_container(spec) for one in container.ports]
    if not port:
        return named[0].container_port if named else DEFAULT_PORT
    found = next((one.container_port for one in named if one.name == port), None)
    if found is None:
        found = _number(port)
    if found is None:
        raise BadRequest(
            f'port "{port[:40]}": must be a number from 1 to {PORT_MAX} or the name of a port'
        )
    return found


def check_open(pod: Pod, port: int) -> None:
    """Refuse ports of the node that are not the pod's, where it is in the node's network.

    Raises: BadRequest.
    """
    if not pod.spec.host_network:
        return
    containers = every_container(pod.spec)
    own = sorted({one.container_port for container in containers for one in container.ports})
    if port not in own:
        listed = ", ".join(map(str, own)) or "none"
        raise BadRequest(
            f'address not allowed: pod "{pod.metadata.name}" is in its node\'s network, where only '
            f"the ports that it names are its own: {listed}"
        )


def service_places(service: Service, slices: Iterable[EndpointSlice], spot: Spot) -> list[Place]:
    """Return the ready pods behind a service, with the port that is meant there.

    Raises: ServiceUnavailable: there is none.
    """
    name = service.metadata.name
    port = _port_name(service, spot.port)
    ready = list(_ready(service, slices))
    places = [place for at, place in ready if at == port and place is not None]
    if places:
        return places
    if any(at == port for at, _ in ready):
        raise ServiceUnavailable(
            f'no endpoints available for service "{name}": only pods are reached this way'
        )
    said = name if not ready else f"{name}:{spot.port}" if spot.port else name
    raise ServiceUnavailable(f'no endpoints available for service "{said}"', retry_after_s=5)


def _port_name(service: Service, port: str) -> str:
    """Return the name of a service's port, which may be given as a number, or be the only one.

    Raises: ServiceUnavailable.
    """
    ports = service.spec.ports
    if not port and len(ports) == 1:
        return ports[0].name
    if port.isascii() and port.isdigit():
        found = next((one for one in ports if str(one.port) == port), None)
        if found is None:
            said = f'no service port {port[:20]} found for service "{service.metadata.name}"'
            raise ServiceUnavailable(said)
        return found.name
    return port


def _ready(service: Service, slices: Iterable[EndpointSlice]) -> Iterator[tuple[str, Place | None]]:
    """Yield the name of each port of what is ready, and its place; None where it is no pod."""
    namespace = service.metadata.namespace
    for one in slices:
        if one.service_name != service.metadata.name:
            continue
        for port in one.ports:
            for endpoint in one.endpoints if port.protocol == "TCP" else ():
                if not endpoint.conditions.ready:
                    continue
                ref = endpoint.target_ref
                is_pod = (
                    ref is not None and ref.kind == Pod.resource.kind and ref.namespace == namespace
                )
                yield port.name, Place(ref.name, port.port) if ref and is_pod else None


def _number(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(PORT_MAX))
    return int(text) if is_number and 0 < int(text) <= PORT_MAX else None
