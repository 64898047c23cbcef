"""Which UDP flows must be forgotten when rules change. Pure.

A UDP flow has no end that the kernel could see: as long as its client keeps sending, it stays with
the endpoint that it once got, also when that endpoint is gone. TCP finds out by itself.

Everything is read from the rules themselves, so that it also holds for what an earlier life of the
proxy wrote.
"""

from collections.abc import Mapping
from typing import NamedTuple

from cubernetes.host.ruleset import Place, Rule, RuleSet, target_of
from proxy.services.compile import SERVICES


class Front(NamedTuple):
    """A service's address and port."""

    address: str
    port: str


class Flow(NamedTuple):
    """Flows to a front that go to one endpoint; an empty endpoint means all of them."""

    front: Front
    endpoint: str = ""


def stale_flows(old: RuleSet, new: RuleSet) -> list[Flow]:
    """Return the flows that the change from old to new leaves with a wrong answer.

    Those to endpoints that a front lost; and all of a front that had no endpoint, since what was
    sent to it then may be remembered as going nowhere.
    """
    before, after = udp_endpoints(old), udp_endpoints(new)
    stale = []
    for front in sorted(before.keys() | after.keys()):
        had, has = before.get(front, frozenset()), after.get(front, frozenset())
        if not had or not has:
            stale.append(Flow(front))
        else:
            stale += [Flow(front, endpoint) for endpoint in sorted(had - has)]
    return stale


def udp_endpoints(rules: RuleSet) -> Mapping[Front, frozenset[str]]:
    """Return the endpoint addresses behind each UDP front of a rule set."""
    fronts = {}
    for rule in rules.chains.get(Place("nat", SERVICES), ()):
        if "udp" in rule:
            front = Front(_after("-d", rule).partition("/")[0], _after("--dport", rule))
            fronts[front] = frozenset(_endpoints_in(rules, target_of(rule)))
    return fronts


def _endpoints_in(rules: RuleSet, chain: str) -> list[str]:
    """Return the addresses that a service's chain leads to, over its endpoints' chains."""
    return [
        _after("--to-destination", inner).partition(":")[0]
        for rule in rules.chains.get(Place("nat", chain), ())
        for inner in rules.chains.get(Place("nat", target_of(rule)), ())
        if target_of(inner) == "DNAT"
    ]


def _after(word: str, rule: Rule) -> str:
    return rule[rule.index(word) + 1] if word in rule[:-1] else ""
