"""The endpoints of UDP services, read from the rules themselves. Pure.

So it also holds for what an earlier life of the proxy wrote.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from cubernetes.host.packetfilter.flows import Flow, Front
from cubernetes.host.packetfilter.ruleset import Chain, RuleSet, target_of, word_after
from proxy.services.compile import NODE_PORTS, OWNER, SERVICES

DEPTH_MAX = 8  # chains between a front and an endpoint: four are ours


def udp_endpoints(rules: RuleSet) -> Mapping[Front, frozenset[str]]:
    """Return the endpoint addresses behind each UDP front of a rule set.

    The front of a node port has no address: it is at all that the node has.
    """
    fronts = {}
    for chain in (SERVICES, NODE_PORTS):
        for rule in rules.chains.get(Chain("nat", chain), ()):
            if "udp" in rule:
                address = word_after("-d", rule).partition("/")[0]
                front = Front(address, word_after("--dport", rule))
                fronts[front] = frozenset(_endpoints_in(rules, target_of(rule)))
    return fronts


def _endpoints_in(rules: RuleSet, chain: str, depth: int = 0) -> Iterator[str]:
    """Yield the addresses that a chain leads to, over the chains that it leads into."""
    for rule in rules.chains.get(Chain("nat", chain), ()):
        target = target_of(rule)
        if target == "DNAT":
            yield word_after("--to-destination", rule).partition(":")[0]
        elif OWNER.owns(target) and depth < DEPTH_MAX:
            yield from _endpoints_in(rules, target, depth + 1)


def wide_fronts(flows: Iterable[Flow], service_range: str) -> Collection[str]:
    """Return addresses and ranges that hold the fronts of many flows; empty is every address."""
    network = IPv4Network(service_range)
    found = {
        service_range
        if flow.front.address and IPv4Address(flow.front.address) in network
        else flow.front.address
        for flow in flows
    }
    return {""} if "" in found else found
