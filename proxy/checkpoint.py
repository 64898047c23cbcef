"""The rules that this node was given last, kept on its disk: it serves on while nobody answers."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from cubernetes.host.durable.checkedfile import CheckedFile
from cubernetes.host.packetfilter.ruleset import Chain, Rule, RuleSet


class SavedRules(msgspec.Struct, frozen=True, kw_only=True):
    """A RuleSet as a file holds it: (table, chain, rules)."""

    chains: tuple[tuple[str, str, tuple[Rule, ...]], ...]
    jumps: tuple[tuple[str, str, tuple[Rule, ...]], ...]


class RulesCheckpoint:
    """One file. Without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._file = CheckedFile(path) if path else None

    def load(self) -> RuleSet | None:
        """Return the rules that were saved last; None where there are none to be trusted."""
        content = self._file.load() if self._file else None
        if self._file is None or content is None:
            return None
        try:
            return _rules_of(msgspec.json.decode(content, type=SavedRules))
        except (ValueError, msgspec.DecodeError) as error:
            self._file.distrust(error)
            return None

    def save(self, rules: RuleSet) -> None:
        """Keep the rules. Raises: OSError, where the disk takes nothing; the last ones stand."""
        if self._file is not None:
            kept = SavedRules(chains=_listed(rules.chains), jumps=_listed(rules.jumps))
            self._file.save(msgspec.json.encode(kept))


def _listed(
    chains: Mapping[Chain, tuple[Rule, ...]],
) -> tuple[tuple[str, str, tuple[Rule, ...]], ...]:
    return tuple((place.table, place.chain, chains[place]) for place in sorted(chains))


def _rules_of(kept: SavedRules) -> RuleSet:
    return RuleSet(
        chains={Chain(table, chain): rules for table, chain, rules in kept.chains},
        jumps={Chain(table, chain): rules for table, chain, rules in kept.jumps},
    )
