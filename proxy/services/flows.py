"""The endpoints of UDP services, read from the rules themselves. Pure.

So it also holds for what an earlier life of the proxy wrote.
"""

from collections.abc import Mapping

from cubernetes.host.packetfilter.flows import Front
from cubernetes.host.packetfilter.ruleset import Chain, RuleSet, target_of, word_after
from proxy.services.compile import SERVICES


def udp_endpoints(rules: RuleSet) -> Mapping[Front, frozenset[str]]:
    """Return the endpoint addresses behind each UDP front of a rule set."""
    fronts = {}
    for rule in rules.chains.get(Chain("nat", SERVICES), ()):
        if "udp" in rule:
            front = Front(word_after("-d", rule).partition("/")[0], word_after("--dport", rule))
            fronts[front] = frozenset(_endpoints_in(rules, target_of(rule)))
    return fronts


def _endpoints_in(rules: RuleSet, chain: str) -> list[str]:
    """Return the addresses that a service's chain leads to, over its endpoints' chains."""
    return [
        word_after("--to-destination", inner).partition(":")[0]
        for rule in rules.chains.get(Chain("nat", chain), ())
        for inner in rules.chains.get(Chain("nat", target_of(rule)), ())
        if target_of(inner) == "DNAT"
    ]
