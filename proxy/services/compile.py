"""Services and their endpoints to one set of iptables rules. Pure.

    nat     PREROUTING, OUTPUT  -> CUBE-SERVICES -> CUBE-SVC-<hash> -> CUBE-SEP-<hash> -> DNAT
                                   a cluster IP's port, to any endpoint
                                -> CUBE-EXT-<hash>: an address from outside, or a node port
                                   -> CUBE-SVC-<hash>, masqueraded, or where the policy is Local
                                   -> CUBE-SVL-<hash>: the endpoints of this node, as it came
                                -> CUBE-FW-<hash>: the sources that may come to an address of the
                                   pool -> CUBE-EXT-<hash>
                                -> CUBE-NODEPORTS: what is for an address of this node
            POSTROUTING         -> CUBE-POSTROUTING: masquerade what CUBE-MARK-MASQ has marked,
                                   and pods' traffic that leaves the cluster
    filter  INPUT, FORWARD,     -> CUBE-REJECT: refuse what still has a service's address, or was
            OUTPUT                 marked so, and drop what was marked for that
            FORWARD             -> CUBE-FORWARD: let pods' traffic pass a strict host

A packet for a service that has an endpoint has lost the service's address before it meets the
filter table. So one rule for the whole service range refuses exactly those that nobody serves, and
marks say the same of other addresses: the filter table never changes, and every change of a service
is one transaction in one table.

127.0.0.1 has no node ports: leading it out would need route_localnet, which opens every loopback
service of the node to its neighbours (CVE-2020-8558).
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.host.packetfilter.ruleset import Chain, Owner, Rule, RuleSet
from proxy.services.served import (
    Backend,
    Facts,
    Key,
    ServedPort,
    key_of,
    served_by,
    slices_by_service,
)

SERVICES, NODE_PORTS, POSTROUTING = "CUBE-SERVICES", "CUBE-NODEPORTS", "CUBE-POSTROUTING"
MARK, MARK_DROP, MARK_REJECT = "CUBE-MARK-MASQ", "CUBE-MARK-DROP", "CUBE-MARK-REJ"
REJECT, FORWARD = "CUBE-REJECT", "CUBE-FORWARD"
SERVICE_PREFIX, ENDPOINT_PREFIX = "CUBE-SVC-", "CUBE-SEP-"
LOCAL_PREFIX, OUTER_PREFIX, SOURCES_PREFIX = "CUBE-SVL-", "CUBE-EXT-", "CUBE-FW-"
OWNER = Owner(
    frozenset({SERVICES, NODE_PORTS, POSTROUTING, MARK, MARK_DROP, MARK_REJECT, REJECT, FORWARD}),
    (SERVICE_PREFIX, ENDPOINT_PREFIX, LOCAL_PREFIX, OUTER_PREFIX, SOURCES_PREFIX),
)

# The bits of a packet's mark that ask for masquerading, a silent end and a refusal. The first two
# are Kubernetes' defaults.
MASQUERADE_BIT, DROP_BIT, REJECT_BIT = "0x4000", "0x8000", "0x2000"
# The kernel draws 31 bits and compares: a probability is a whole number of these.
ODDS = 2**31
ANY_BIT = "255.255.255.255"

type Chains = dict[Chain, tuple[Rule, ...]]


@dataclass(frozen=True, slots=True)
class ServiceChains:
    """What one service adds to the rules.

    fronts go into the chain of all services, node_fronts into that of all node ports. skipped says
    what could not be compiled, and why; the rest of the service is served.
    """

    fronts: tuple[Rule, ...] = ()
    node_fronts: tuple[Rule, ...] = ()
    chains: Chains = field(default_factory=dict)
    skipped: tuple[str, ...] = ()


def rules_for(
    services: Iterable[Service], slices: Iterable[EndpointSlice], facts: Facts
) -> RuleSet:
    """Return the rules of a whole cluster; the order of the arguments does not matter."""
    grouped = slices_by_service(slices)
    ordered = sorted(services, key=lambda one: one.ref)
    return joined([part_of(one, grouped.get(key_of(one), ()), facts) for one in ordered], facts)


class Compiler:
    """Remembers each service's part, so that one change among thousands costs one compilation.

    Gives what rules_for gives. Objects are values: the same object has the same part.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._parts: dict[Key, tuple[Service, Sequence[EndpointSlice], ServiceChains]] = {}

    def compile(self, services: Iterable[Service], slices: Iterable[EndpointSlice]) -> RuleSet:
        grouped = slices_by_service(slices)
        parts = {}
        for service in sorted(services, key=lambda one: one.ref):
            key = key_of(service)
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


def part_of(service: Service, slices: Iterable[EndpointSlice], facts: Facts) -> ServiceChains:
    """Return what a service adds; a service without an address or without backends adds little."""
    served = served_by(service, slices, facts)
    fronts: list[Rule] = []
    node_fronts: list[Rule] = []
    chains: Chains = {}
    for port in served.ports:
        chains |= _chains_of(port, facts)
        fronts += _fronts(port)
        if port.node_port:
            node_fronts.append((*_match(port, None, port.node_port), "-j", _outer_target(port)))
    return ServiceChains(tuple(fronts), tuple(node_fronts), chains, served.skipped)


def chain_for(prefix: str, identity: str) -> str:
    """Name a chain by a hash: iptables takes 28 characters at most, a service may need more."""
    digest = hashlib.sha256(identity.encode(errors="backslashreplace")).digest()
    return prefix + base64.b32encode(digest[:10]).decode()


def _fronts(port: ServedPort) -> Iterator[Rule]:
    if target := _inner_target(port):
        yield (*_match(port, port.cluster_ip, port.port), "-j", target)
    for address in port.externals:
        yield (*_match(port, address, port.port), "-j", _outer_target(port))
    for address in port.balanced:
        sources = chain_for(SOURCES_PREFIX, port.identity)
        target = sources if port.sources and port.everywhere else _outer_target(port)
        yield (*_match(port, address, port.port), "-j", target)


def _match(port: ServedPort, address: object, number: int) -> Rule:
    # The comment is for people who read iptables-save; what does not fit its alphabet is left out.
    comment = ("-m", "comment", "--comment", port.comment) if port.comment else ()
    to = ("-d", f"{address}/32") if address is not None else ()
    protocol = port.protocol
    return (*to, "-p", protocol, *comment, "-m", protocol, "--dport", str(number))


def _inner_target(port: ServedPort) -> str:
    """Return where the cluster IP leads; nowhere without endpoints: that is refused anyway."""
    if not port.everywhere:
        return ""
    if not port.is_inner_local:
        return chain_for(SERVICE_PREFIX, port.identity)
    return chain_for(LOCAL_PREFIX, port.identity) if port.here else MARK_DROP


def _outer_target(port: ServedPort) -> str:
    """Return where the other doors lead."""
    return chain_for(OUTER_PREFIX, port.identity) if port.everywhere else MARK_REJECT


def _chains_of(port: ServedPort, facts: Facts) -> Chains:
    """Return a port's own chains. Each endpoint has one, and is led to by as many as want it."""
    if not port.everywhere:
        return {}
    chains: Chains = {}
    is_spread = not port.is_inner_local or port.has_outer_doors
    is_local = port.is_inner_local or (port.is_outer_local and port.has_outer_doors)
    here = port.here if is_local else ()
    if is_spread:
        # Who comes from outside the pod range is masqueraded: else the answer would take another
        # way than the question.
        masqueraded: Rule = ("!", "-s", str(facts.pod_range), "-j", MARK)
        spread = (masqueraded, *_spread(port, port.everywhere))
        chains[_nat(SERVICE_PREFIX, port)] = spread
    if here:
        inner = ("!", "-s", str(facts.pod_range), "-d", f"{port.cluster_ip}/32", "-j", MARK)
        chains[_nat(LOCAL_PREFIX, port)] = (
            *((inner,) if port.is_inner_local else ()),
            *_spread(port, here),
        )
    if port.has_outer_doors:
        chains[_nat(OUTER_PREFIX, port)] = tuple(_outer(port, facts))
        if port.balanced and port.sources:
            chains[_nat(SOURCES_PREFIX, port)] = tuple(_sources(port))
    for backend in {*(port.everywhere if is_spread else ()), *here}:
        chains[Chain("nat", _endpoint_chain(port, backend))] = _endpoint(port, backend)
    return chains


def _nat(prefix: str, port: ServedPort) -> Chain:
    return Chain("nat", chain_for(prefix, port.identity))


def _outer(port: ServedPort, facts: Facts) -> Iterator[Rule]:
    """Lead what comes from outside, and what of the cluster comes to a door for the outside."""
    anywhere = chain_for(SERVICE_PREFIX, port.identity)
    if not port.is_outer_local:
        yield ("-j", MARK)
        yield ("-j", anywhere)
        return
    # The policy is about who comes from outside: the cluster's own are served by any pod.
    yield ("-s", str(facts.pod_range), "-j", anywhere)
    yield ("-m", "addrtype", "--src-type", "LOCAL", "-j", MARK)
    yield ("-m", "addrtype", "--src-type", "LOCAL", "-j", anywhere)
    yield ("-j", chain_for(LOCAL_PREFIX, port.identity) if port.here else MARK_DROP)


def _sources(port: ServedPort) -> Iterator[Rule]:
    outer = chain_for(OUTER_PREFIX, port.identity)
    for network in port.sources:
        # iptables writes no source at all for every source.
        yield (*(("-s", str(network)) if network.prefixlen else ()), "-j", outer)
    yield ("-j", MARK_DROP)


def _spread(port: ServedPort, backends: Sequence[Backend]) -> Iterator[Rule]:
    """Spread new connections evenly over backends, but for a client that has one already."""
    chains = [_endpoint_chain(port, backend) for backend in backends]
    if port.affinity_s:
        for chain in chains:
            known = ("-m", "recent", "--rcheck", "--seconds", str(port.affinity_s), "--reap")
            yield (*known, *_list(chain), "-j", chain)
    for index, chain in enumerate(chains):
        yield (*_odds(len(chains) - index), "-j", chain)


def _list(chain: str) -> Rule:
    return ("--name", chain, "--mask", ANY_BIT, "--rsource")


def _endpoint_chain(port: ServedPort, backend: Backend) -> str:
    return chain_for(ENDPOINT_PREFIX, f"{port.identity}/{backend.address}:{backend.port}")


def _endpoint(port: ServedPort, backend: Backend) -> tuple[Rule, ...]:
    """Lead to one endpoint; a pod that reaches itself is masqueraded."""
    chain = _endpoint_chain(port, backend)
    remember = ("-m", "recent", "--set", *_list(chain)) if port.affinity_s else ()
    dnat = ("-j", "DNAT", "--to-destination", f"{backend.address}:{backend.port}")
    return (
        ("-s", f"{backend.address}/32", "-j", MARK),
        ("-p", port.protocol, *remember, *dnat),
    )


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


def joined(parts: Sequence[ServiceChains], facts: Facts) -> RuleSet:
    """Put the parts of all services, in their order, and the rules that never change together."""
    chains: Chains = dict(fixed_chains(facts))
    fronts = [front for part in parts for front in part.fronts]
    node_ports = ("!", "-d", "127.0.0.0/8", "-m", "addrtype", "--dst-type", "LOCAL")
    # The last of all: an address of this node may be a service's as well.
    chains[Chain("nat", SERVICES)] = (*fronts, (*node_ports, "-j", NODE_PORTS))
    chains[Chain("nat", NODE_PORTS)] = tuple(one for part in parts for one in part.node_fronts)
    for part in parts:
        chains.update(part.chains)
    return RuleSet(chains, JUMPS)


JUMPS: Mapping[Chain, tuple[Rule, ...]] = {
    Chain("nat", "PREROUTING"): (("-j", SERVICES),),
    Chain("nat", "OUTPUT"): (("-j", SERVICES),),
    Chain("nat", "POSTROUTING"): (("-j", POSTROUTING),),
    Chain("filter", "INPUT"): (("-j", REJECT),),
    Chain("filter", "FORWARD"): (("-j", REJECT), ("-j", FORWARD)),
    Chain("filter", "OUTPUT"): (("-j", REJECT),),
}


def _is_marked(bit: str) -> Rule:
    return ("-m", "mark", "--mark", f"{bit}/{bit}")


def fixed_chains(facts: Facts) -> Iterator[tuple[Chain, tuple[Rule, ...]]]:
    marked = _is_marked(MASQUERADE_BIT)
    pods = str(facts.pod_range)
    for chain, bit in ((MARK, MASQUERADE_BIT), (MARK_DROP, DROP_BIT), (MARK_REJECT, REJECT_BIT)):
        yield Chain("nat", chain), (("-j", "MARK", "--set-xmark", f"{bit}/{bit}"),)
    yield (
        Chain("nat", POSTROUTING),
        (
            # Outside the cluster nobody knows the way to a pod: it goes out as its node.
            ("-s", pods, "!", "-d", pods, "-j", "MASQUERADE", "--random-fully"),
            ("-m", "mark", "!", "--mark", f"{MASQUERADE_BIT}/{MASQUERADE_BIT}", "-j", "RETURN"),
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
            (*marked, "-j", "ACCEPT"),
            ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"),
            ("-s", pods, "-j", "ACCEPT"),
            ("-d", pods, "-j", "ACCEPT"),
        ),
    )
    yield Chain("filter", REJECT), tuple(_refusals(facts))


def _refusals(facts: Facts) -> Iterator[Rule]:
    yield (*_is_marked(DROP_BIT), "-j", "DROP")
    refused, served = _is_marked(REJECT_BIT), ("-d", str(facts.service_range))
    for tcp, other in ((("-p", "tcp", *refused), refused), ((*served, "-p", "tcp"), served)):
        yield (*tcp, "-j", "REJECT", "--reject-with", "tcp-reset")
        yield (*other, "-j", "REJECT", "--reject-with", "icmp-port-unreachable")
