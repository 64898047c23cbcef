"""Packet filter rules as data: chains of our own, the jumps that lead into them, and their text.

A rule is a tuple of iptables' words in the spelling of `iptables-save` (`-p tcp -m tcp --dport
80`), so that what the kernel holds can be compared with what it should hold. This module is pure:
it neither knows an object of the API nor runs a command.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

type Rule = tuple[str, ...]

# A word of a rule. Nothing that ends a line, opens a quotation or begins a comment is among them.
_WORD = re.compile(r"[A-Za-z0-9!+./:,_-]{1,256}\Z", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,27}\Z", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9_-]+\Z", re.ASCII)
# How every program of the house begins the names of its chains.
PREFIX = "CUBE-"
BUILT_IN = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})
# A chain below this length is written anew; in a longer one only the rules that differ are.
WHOLE_CHAIN_MAX = 32


class UnsafeWord(Exception):
    """A word could change the meaning of the text around it: a bug in the rule's compiler."""

    def __init__(self, word: str) -> None:
        super().__init__(f"{word[:80]!r} may not stand in a rule")
        self.word = word


class Chain(NamedTuple):
    """Where a rule stands: a table (`nat`, `filter`) and a chain in it."""

    table: str
    chain: str


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Our chains, whole, and the jumps into them that stand at the front of built-in chains."""

    chains: Mapping[Chain, tuple[Rule, ...]] = field(default_factory=dict)
    jumps: Mapping[Chain, tuple[Rule, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundRules:
    """What a node holds of one owner.

    crowded names the built-in chains in which a rule of somebody else stands before our jumps.
    """

    rules: RuleSet = field(default_factory=RuleSet)
    crowded: frozenset[Chain] = frozenset()


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose chains: exact names, and the beginnings of names that are made from hashes."""

    names: frozenset[str]
    prefixes: tuple[str, ...] = ()

    def owns(self, chain: str) -> bool:
        return chain in self.names or chain.startswith(self.prefixes or ("\0",))


def target_of(rule: Rule) -> str:
    """Return what a rule jumps to; empty where it only counts."""
    return rule[rule.index("-j") + 1] if "-j" in rule else ""


def word_after(word: str, rule: Rule) -> str:
    """Return what follows a word of a rule; empty where the rule lacks it."""
    return rule[rule.index(word) + 1] if word in rule[:-1] else ""


def line_of(rule: Rule) -> str:
    """Return the words as one text, quoted as iptables-save quotes.

    Raises:
        UnsafeWord: a word holds a character that could begin another rule.
    """
    parts = []
    for index, word in enumerate(rule):
        if not _WORD.match(word):
            raise UnsafeWord(word)
        is_comment = index > 0 and rule[index - 1] == "--comment"
        parts.append(f'"{word}"' if is_comment and not _PLAIN.match(word) else word)
    return " ".join(parts)


def restore_text(found: FoundRules, wanted: RuleSet) -> str:
    """Return what `iptables-restore --noflush` must be told so that found becomes wanted.

    Empty where nothing differs. Each table changes in one step, in which new chains are there
    before a rule refers to them, and chains go after the last rule that did.
    """
    text = []
    have = found.rules
    # Once for all tables: a look at every chain costs more than all the rest.
    changed = changed_places(have, wanted)
    tables = {place.table for places in (changed, have.jumps, wanted.jumps) for place in places}
    for table in sorted(tables):
        places = [place for place in changed if place.table == table]
        lines = [*_chain_lines(places, have, wanted), *_jump_lines(table, found, wanted)]
        lines += _gone_lines(places, wanted)
        if lines:
            text += [f"*{table}", *lines, "COMMIT"]
    return "".join(f"{line}\n" for line in text)


def changed_places(old: RuleSet, new: RuleSet) -> list[Chain]:
    """Return the chains that differ, gone ones included, in order."""
    before, after = old.chains, new.chains
    changed = [
        place
        for place, rules in after.items()
        # Most are the same object: that is told without a look at their rules.
        if (known := before.get(place)) is not rules and known != rules
    ]
    return sorted([*changed, *(before.keys() - after.keys())])


def _chain_lines(changed: Sequence[Chain], have: RuleSet, wanted: RuleSet) -> Iterator[str]:
    written = [place for place in changed if place in wanted.chains]
    edits = {place: _edit_lines(place, have, wanted) for place in written}
    # Declared first, all of them: a rule may jump to a chain that comes later in the text.
    yield from (f":{_name(place)} - [0:0]" for place in written if edits[place] is None)
    for place in written:
        edit = edits[place]
        if edit is None:
            edit = [f"-A {place.chain} {line_of(rule)}" for rule in wanted.chains[place]]
        yield from edit


def _edit_lines(place: Chain, have: RuleSet, wanted: RuleSet) -> list[str] | None:
    """Return the few deletions and insertions that change a long chain; None: write it whole.

    One of thousands of rules in the chain of all services changes in a third of the time. Rules
    go by their text, not by their number: where somebody else edited the chain, the transaction
    fails instead of taking a wrong rule, and the next one starts from what is really there.
    """
    old, new = have.chains.get(place), wanted.chains[place]
    if old is None or min(len(old), len(new)) < WHOLE_CHAIN_MAX or len(set(old)) < len(old):
        return None
    head = _common(zip(old, new, strict=False))
    rest = min(len(old), len(new)) - head
    tail = min(rest, _common(zip(reversed(old), reversed(new), strict=False)))
    gone, come = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(gone) + len(come) > len(new) // 4:
        return None
    lines = [f"-D {place.chain} {line_of(rule)}" for rule in gone]
    return lines + [
        f"-I {place.chain} {number} {line_of(rule)}"
        for number, rule in enumerate(come, start=head + 1)
    ]


def _common(pairs: Iterable[tuple[Rule, Rule]]) -> int:
    count = 0
    for one, other in pairs:
        if one != other:
            break
        count += 1
    return count


def _jump_lines(table: str, found: FoundRules, wanted: RuleSet) -> Iterator[str]:
    have = found.rules.jumps
    for place in sorted(have.keys() | wanted.jumps.keys()):
        old, new = have.get(place, ()), wanted.jumps.get(place, ())
        if place.table != table or (old == new and place not in found.crowded):
            continue
        yield from (f"-D {place.chain} {line_of(rule)}" for rule in old)
        yield from (f"-I {place.chain} {line_of(rule)}" for rule in reversed(new))


def _gone_lines(changed: Sequence[Chain], wanted: RuleSet) -> Iterator[str]:
    gone = [place for place in changed if place not in wanted.chains]
    # Emptied first, all of them: they may refer to one another.
    yield from (f":{_name(place)} - [0:0]" for place in gone)
    yield from (f"-X {place.chain}" for place in gone)


def _name(place: Chain) -> str:
    if not _NAME.match(place.chain):
        raise UnsafeWord(place.chain)
    return place.chain


def found_in(text: str, owner: Owner) -> FoundRules:
    """Read the output of iptables-save: the owner's chains and the jumps into them, no others.

    Jumps into any `CUBE-` chain may stand before ours: several programs share the front.
    """
    chains: dict[Chain, list[Rule]] = {}
    built_in: dict[Chain, list[Rule]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            name = line[1:].partition(" ")[0]
            if owner.owns(name):
                chains[Chain(table, name)] = []
        elif line.startswith("-A "):
            chain, _, rest = line[3:].partition(" ")
            place = Chain(table, chain)
            if place in chains:
                chains[place].append(_rule_in(rest))
            elif chain in BUILT_IN:
                built_in.setdefault(place, []).append(_rule_in(rest))
    jumps = {
        place: ours
        for place, rules in built_in.items()
        if (ours := tuple(rule for rule in rules if owner.owns(target_of(rule))))
    }
    crowded = frozenset(place for place in jumps if _is_crowded(built_in[place], owner))
    return FoundRules(
        RuleSet({place: tuple(rules) for place, rules in chains.items()}, jumps), crowded
    )


def _is_crowded(rules: Sequence[Rule], owner: Owner) -> bool:
    """Tell whether a rule that leads into no chain of the house stands before a jump of ours."""
    last = max(index for index, rule in enumerate(rules) if owner.owns(target_of(rule)))
    return not all(target_of(rule).startswith(PREFIX) for rule in rules[:last])


def _rule_in(text: str) -> Rule:
    # Our words hold no blanks; a foreign comment with blanks gives a rule that equals none of ours.
    return tuple(text.replace('"', "").split())
