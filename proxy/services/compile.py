"""Services and their endpoints to one set of rules. Pure.

    nat     PREROUTING, OUTPUT  -> CUBE-SERVICES -> CUBE-SVC-<hash> -> CUBE-SEP-<hash> -> DNAT
            POSTROUTING         -> CUBE-POSTROUTING: masquerade what CUBE-MARK-MASQ has marked,
                                   and pods' traffic that leaves the cluster
    filter  FORWARD, OUTPUT     -> CUBE-REJECT: refuse what still has a service's address
            FORWARD             -> CUBE-FORWARD: let pods' traffic pass a strict host

A packet for a service that has an endpoint has lost the service's address before it meets the
filter table. So one rule for the whole service range refuses exactly those that nobody serves, it
never changes, and every change of a service is one transaction in one table.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import NamedTuple

from cubernetes.api.core.service import Service, ServicePort
from cubernetes.api.discovery.endpointslice import Endpoint, EndpointSlice
from cubernetes.host.packetfilter.ruleset import Chain, Owner, Rule, RuleSet

SERVICES, MARK, POSTROUTING = "CUBE-SERVICES", "CUBE-MARK-MASQ", "CUBE-POSTROUTING"
REJECT, FORWARD = "CUBE-REJECT", "CUBE-FORWARD"
SERVICE_PREFIX, ENDPOINT_PREFIX = "CUBE-SVC-", "CUBE-SEP-"
OWNER = Owner(
    frozenset({SERVICES, MARK, POSTROUTING, REJECT, FORWARD}), (SERVICE_PREFIX, ENDPOINT_PREFIX)
)

# The bit of a packet's mark that asks for masquerading; Kubernetes' default.
MASQUERADE_BIT = "0x4000"
# The kernel draws 31 bits and compares: a probability is a whole number of these.
ODDS = 2**31
_COMMENT = re.compile(r"[a-z0-9/:._-]{1,200}\Z", re.ASCII)

type Chains = dict[Chain, tuple[Rule, ...]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules must know of the cluster: where pods and services have their addresses."""

    pod_range: IPv4Network
    service_range: IPv4Network


class Backend(NamedTuple):
    """An endpoint that serves. Sorted by number, so that every node compiles the same text."""

    address: IPv4Address
    port: int


@dataclass(frozen=True, slots=True)
class Part:
    """What one service adds to the rules.

    fronts go into the chain of all services. skipped says what could not be compiled, and why;
    the rest of the service is served.
    """

    fronts: tuple[Rule, ...] = ()
    chains: Chains = field(default_factory=dict)
    skipped: tuple[str, ...] = ()


def rules_for(
    services: Iterable[Service], slices: Iterable[EndpointSlice], facts: Facts
) -> RuleSet:
    """Return the rules of a whole cluster; the order of the arguments does not matter."""
    grouped = slices_by_service(slices)
    ordered = sorted(services, key=lambda one: one.ref)
    return joined([part_of(one, grouped.get(_key(one), ()), facts) for one in ordered], facts)


class Compiler:
    """Remembers each service's part, so that one change among thousands costs one compilation.

    Gives what rules_for gives. Objects are values: the same object has the same part.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._parts: dict[tuple[str, str], tuple[Service, Sequence[EndpointSlice], Part]] = {}

    def compile(self, services: Iterable[Service], slices: Iterable[EndpointSlice]) -> RuleSet:
        grouped = slices_by_service(slices)
        parts = {}
        for service in sorted(services, key=lambda one: one.ref):
            key = _key(service)
            mine = grouped.get(key, [])
            known = self._parts.get(key)
            if known is None or known[0] is not service or not _are_same(known[1], mine):
                known = (service, mine, part_of(service, mine, self._facts))
            parts[key] = known
        self._parts = parts
        return joined([part for _, _, part in parts.values()], self._facts)

    @property
    def skipped(self) -> tuple[str, ...]:
        """Return what the last compilation left out, with the reasons."""
        return tuple(reason for _, _, part in self._parts.values() for reason in part.skipped)


def _are_same(some: Sequence[object], others: Sequence[object]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def _key(service: Service) -> tuple[str, str]:
    return service.metadata.namespace, service.metadata.name


def slices_by_service(
    slices: Iterable[EndpointSlice],
) -> Mapping[tuple[str, str], Sequence[EndpointSlice]]:
    """Group slices under the (namespace, name) of the service that their label names."""
    grouped: dict[tuple[str, str], list[EndpointSlice]] = {}
    for one in slices:
        if one.service_name:
            grouped.setdefault((one.metadata.namespace, one.service_name), []).append(one)
    return grouped


def part_of(service: Service, slices: Iterable[EndpointSlice], facts: Facts) -> Part:
    """Return what a service adds; a service without an address or without backends adds little."""
    if service.is_headless or not service.spec.cluster_ip:
        return Part()
    address = _address_in(service.spec.cluster_ip)
    # Outside the service range it would take over an address that belongs to somebody else.
    if address is None or address not in facts.service_range:
        return Part(skipped=(f"{service.ref}: cluster IP {service.spec.cluster_ip[:40]!r}",))
    fronts: list[Rule] = []
    chains: Chains = {}
    skipped: list[str] = []
    offered = list(slices)
    for port in service.spec.ports:
        backends = _backends(port, offered, skipped)
        if backends:
            identity = "/".join((*_key(service), port.name, port.protocol.lower()))
            fronts.append(_front(service, address, port, chain_for(SERVICE_PREFIX, identity)))
            chains |= _port_chains(identity, port, backends, facts)
    reasons = tuple(f"{service.ref}: {reason}" for reason in skipped)
    return Part(tuple(fronts), chains, reasons)


def _backends(
    port: ServicePort, slices: Iterable[EndpointSlice], skipped: list[str]
) -> list[Backend]:
    """Return the endpoints that serve a port, each once, in order.

    Those that are ready; where none is, those that still serve while they go: the last pod of a
    service answers until it has ended, as in Kubernetes (KEP-1669).
    """
    ready: set[Backend] = set()
    going: set[Backend] = set()
    for one in slices:
        numbers = [
            offer.port
            for offer in one.ports
            if (offer.name, offer.protocol) == (port.name, port.protocol)
        ]
        for endpoint in one.endpoints if numbers else ():
            taken = ready if endpoint.conditions.ready else going if _is_going(endpoint) else None
            address = _address_of(endpoint, skipped) if taken is not None else None
            if taken is not None and address is not None:
                taken |= {Backend(address, number) for number in numbers}
    return sorted(ready or going)


def _is_going(endpoint: Endpoint) -> bool:
    """Tell whether an endpoint still answers, but has been asked to end."""
    return endpoint.conditions.serving and endpoint.conditions.terminating


def _address_of(endpoint: Endpoint, skipped: list[str]) -> IPv4Address | None:
    """Return where an endpoint is. Its addresses are alternatives: the first is used.

    A client that may write EndpointSlices must not reach listeners on a node's loopback.
    """
    if not endpoint.addresses:
        return None
    address = _address_in(endpoint.addresses[0])
    if address is None:
        skipped.append(f"endpoint {endpoint.addresses[0][:40]!r}")
    return address


def _address_in(text: str) -> IPv4Address | None:
    """Return an address that a packet can be sent to, or None."""
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return None
    is_special = (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    )
    return None if is_special else address


def chain_for(prefix: str, identity: str) -> str:
    """Name a chain by a hash: iptables takes 28 characters at most, a service may need more."""
    digest = hashlib.sha256(identity.encode(errors="backslashreplace")).digest()
    return prefix + base64.b32encode(digest[:10]).decode()


def _front(service: Service, address: IPv4Address, port: ServicePort, chain: str) -> Rule:
    protocol = port.protocol.lower()
    said = "/".join(_key(service)) + (f":{port.name}" if port.name else "")
    # The comment is for people who read iptables-save; what does not fit its alphabet is left out.
    comment = ("-m", "comment", "--comment", said) if _COMMENT.match(said) else ()
    match = ("-d", f"{address}/32", "-p", protocol, *comment)
    return (*match, "-m", protocol, "--dport", str(port.port), "-j", chain)


def _port_chains(
    identity: str, port: ServicePort, backends: Sequence[Backend], facts: Facts
) -> Chains:
    """Spread new connections evenly over backends; each has a chain of its own.

    Who comes from outside the pod range, and a pod that reaches itself, is masqueraded: else the
    answer would take another way than the question.
    """
    chains: Chains = {}
    spread: list[Rule] = [("!", "-s", str(facts.pod_range), "-j", MARK)]
    for index, (address, number) in enumerate(backends):
        chain = chain_for(ENDPOINT_PREFIX, f"{identity}/{address}:{number}")
        spread.append((*_odds(len(backends) - index), "-j", chain))
        dnat = ("-j", "DNAT", "--to-destination", f"{address}:{number}")
        chains[Chain("nat", chain)] = (
            ("-s", f"{address}/32", "-j", MARK),
            ("-p", port.protocol.lower(), *dnat),
        )
    chains[Chain("nat", chain_for(SERVICE_PREFIX, identity))] = tuple(spread)
    return chains


def _odds(left: int) -> Rule:
    """Take a packet with probability 1/left; the last rule takes all that come to it.

    Rules are tried in order, so 1/n, 1/(n-1), .. 1 gives each the same. Eleven digits name the
    kernel's 31-bit number exactly, and are how iptables-save writes it.
    """
    if left == 1:
        return ()
    return ("-m", "statistic", "--mode", "random", "--probability", odds_text(left))


def odds_text(left: int) -> str:
    """Return 1/left as the nearest number that the kernel can draw, in eleven digits."""
    return f"{round(ODDS / left) / ODDS:.11f}"


def joined(parts: Sequence[Part], facts: Facts) -> RuleSet:
    """Put the parts of all services, in their order, and the rules that never change together."""
    chains: Chains = dict(_fixed_chains(facts))
    chains[Chain("nat", SERVICES)] = tuple(front for part in parts for front in part.fronts)
    for part in parts:
        chains.update(part.chains)
    return RuleSet(chains, JUMPS)


JUMPS: Mapping[Chain, tuple[Rule, ...]] = {
    Chain("nat", "PREROUTING"): (("-j", SERVICES),),
    Chain("nat", "OUTPUT"): (("-j", SERVICES),),
    Chain("nat", "POSTROUTING"): (("-j", POSTROUTING),),
    Chain("filter", "FORWARD"): (("-j", REJECT), ("-j", FORWARD)),
    Chain("filter", "OUTPUT"): (("-j", REJECT),),
}


def _fixed_chains(facts: Facts) -> Iterator[tuple[Chain, tuple[Rule, ...]]]:
    marked = f"{MASQUERADE_BIT}/{MASQUERADE_BIT}"
    pods = str(facts.pod_range)
    yield Chain("nat", MARK), (("-j", "MARK", "--set-xmark", marked),)
    yield (
        Chain("nat", POSTROUTING),
        (
            # Outside the cluster nobody knows the way to a pod: it goes out as its node.
            ("-s", pods, "!", "-d", pods, "-j", "MASQUERADE", "--random-fully"),
            ("-m", "mark", "!", "--mark", marked, "-j", "RETURN"),
            # The bit has done its work: a tunnel that wraps this packet must not see it again.
            ("-j", "MARK", "--set-xmark", f"{MASQUERADE_BIT}/0x0"),
            ("-j", "MASQUERADE", "--random-fully"),
        ),
    )
    yield (
        Chain("filter", FORWARD),
        (
            # An answer that conntrack cannot place would leave with a pod's address instead of
            # the service's, and its receiver would reset the connection.
            ("-s", pods, "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"),
            ("-m", "mark", "--mark", marked, "-j", "ACCEPT"),
            ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"),
            ("-s", pods, "-j", "ACCEPT"),
            ("-d", pods, "-j", "ACCEPT"),
        ),
    )
    served = str(facts.service_range)
    yield (
        Chain("filter", REJECT),
        (
            ("-d", served, "-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"),
            ("-d", served, "-j", "REJECT", "--reject-with", "icmp-port-unreachable"),
        ),
    )
