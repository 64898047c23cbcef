"""The rules that this node was given last, kept on its disk: it serves on while nobody answers."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from cubernetes.host.files import read_or_none, write_atomic
from cubernetes.host.log import Log
from cubernetes.host.ruleset import Place, Rule, RuleSet

log = Log(__name__)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A RuleSet as a file holds it: (table, chain, rules)."""

    chains: tuple[tuple[str, str, tuple[Rule, ...]], ...]
    jumps: tuple[tuple[str, str, tuple[Rule, ...]], ...]


class RulesCheckpoint:
    """One file: a checksum, a line end, JSON. Without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._saved: RuleSet | None = None

    def load(self) -> RuleSet | None:
        """Return the rules that were saved last; None where there are none to be trusted."""
        content = read_or_none(self._path) if self._path else None
        if content is None:
            return None
        head, _, line = content.partition(b"\n")
        try:
            if int(head, 16) == zlib.crc32(line):
                return _rules_of(msgspec.json.decode(line, type=Kept))
        except (ValueError, msgspec.DecodeError) as error:
            log.warning("rules checkpoint is not readable", path=self._path, why=error)
            return None
        log.warning("rules checkpoint ignored", path=self._path, why="its checksum is wrong")
        return None

    def save(self, rules: RuleSet) -> None:
        if self._path is None or rules == self._saved:
            return
        kept = Kept(chains=_listed(rules.chains), jumps=_listed(rules.jumps))
        line = msgspec.json.encode(kept)
        write_atomic(self._path, b"%08x\n" % zlib.crc32(line) + line)
        self._saved = rules


def _listed(
    chains: Mapping[Place, tuple[Rule, ...]],
) -> tuple[tuple[str, str, tuple[Rule, ...]], ...]:
    return tuple((place.table, place.chain, chains[place]) for place in sorted(chains))


def _rules_of(kept: Kept) -> RuleSet:
    return RuleSet(
        chains={Place(table, chain): rules for table, chain, rules in kept.chains},
        jumps={Place(table, chain): rules for table, chain, rules in kept.jumps},
    )
