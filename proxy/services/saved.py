"""iptables rules as a file holds them. Pure."""

from collections.abc import Mapping

import msgspec

from cubernetes.host.packetfilter.ruleset import Chain, Rule, RuleSet


class SavedRules(msgspec.Struct, frozen=True, kw_only=True):
    """A RuleSet as a file holds it: (table, chain, rules)."""

    chains: tuple[tuple[str, str, tuple[Rule, ...]], ...]
    jumps: tuple[tuple[str, str, tuple[Rule, ...]], ...]


def encoded(rules: RuleSet) -> bytes:
    kept = SavedRules(chains=_listed(rules.chains), jumps=_listed(rules.jumps))
    return msgspec.json.encode(kept)


def decoded(content: bytes) -> RuleSet:
    """Return the rules. Raises: ValueError, where the content is something else."""
    kept = msgspec.json.decode(content, type=SavedRules)
    return RuleSet(
        chains={Chain(table, chain): rules for table, chain, rules in kept.chains},
        jumps={Chain(table, chain): rules for table, chain, rules in kept.jumps},
    )


def _listed(
    chains: Mapping[Chain, tuple[Rule, ...]],
) -> tuple[tuple[str, str, tuple[Rule, ...]], ...]:
    return tuple((place.table, place.chain, chains[place]) for place in sorted(chains))
