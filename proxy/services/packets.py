"""What compiled rules do to a packet: every way it can go, with its exact probability. Pure.

A small netfilter on paper, for tests and for people who ask why. It reads the same words that the
kernel is given, and knows exactly the matches and targets that our rules use.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from cubernetes.host.packetfilter.ruleset import Chain, Rule, RuleSet

type Origin = Literal["node", "forwarded"]
type Ending = Literal["passed", "accepted", "rejected", "dropped"]

DEPTH_MAX = 16  # chains that call one another; the kernel's own limit is far higher

# The hooks that a new connection passes, in order: (table, chain).
WAYS: Mapping[Origin, tuple[Chain, ...]] = {
    "node": (Chain("nat", "OUTPUT"), Chain("filter", "OUTPUT"), Chain("nat", "POSTROUTING")),
    "forwarded": (
        Chain("nat", "PREROUTING"),
        Chain("filter", "FORWARD"),
        Chain("nat", "POSTROUTING"),
    ),
}


class UnknownWord(Exception):
    """A rule says something that this tracer cannot judge."""

    def __init__(self, word: str) -> None:
        super().__init__(f"{word!r} is not a word that our rules use")
        self.word = word


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection, as it is at some point of its way."""

    source: IPv4Address
    destination: IPv4Address
    port: int
    protocol: Literal["tcp", "udp"] = "tcp"
    mark: int = 0
    state: str = "NEW"


@dataclass(frozen=True, slots=True)
class Fate:
    """How a packet ended. passed: our rules left it to the host's own; accepted: they let it by."""

    ending: Ending
    packet: Packet
    is_masqueraded: bool = False


@dataclass(frozen=True, slots=True)
class _Branch:
    """One way that a packet may have come, and what it met: empty verdict is «go on»."""

    packet: Packet
    odds: Fraction
    verdict: str = ""


def fates(rules: RuleSet, packet: Packet, origin: Origin) -> dict[Fate, Fraction]:
    """Return every end that a packet may meet, with its probability; they sum up to 1.

    origin: made by the node itself, or forwarded for a pod or a stranger.
    """
    ends: dict[Fate, Fraction] = {}
    for branch, is_accepted, is_masqueraded in _through(rules, packet, origin):
        ending: Ending = "accepted" if is_accepted else "passed"
        if branch.verdict in ("REJECT", "DROP"):
            ending = "rejected" if branch.verdict == "REJECT" else "dropped"
        fate = Fate(ending, branch.packet, is_masqueraded)
        ends[fate] = ends.get(fate, Fraction(0)) + branch.odds
    return ends


def _through(
    rules: RuleSet, packet: Packet, origin: Origin
) -> Iterator[tuple[_Branch, bool, bool]]:
    way = [(_Branch(packet, Fraction(1)), False, False)]
    for hook in WAYS[origin]:
        following: list[tuple[_Branch, bool, bool]] = []
        for branch, is_accepted, is_masqueraded in way:
            if branch.verdict in ("REJECT", "DROP"):
                following.append((branch, is_accepted, is_masqueraded))
                continue
            start = replace(branch, verdict="")
            for after in _walk(rules, Chain(hook.table, ""), rules.jumps.get(hook, ()), start, 0):
                accepted = is_accepted or (hook.table, after.verdict) == ("filter", "ACCEPT")
                masqueraded = is_masqueraded or after.verdict == "MASQUERADE"
                following.append((after, accepted, masqueraded))
        way = following
    yield from way


def _walk(
    rules: RuleSet, place: Chain, chain: tuple[Rule, ...], start: _Branch, depth: int
) -> Iterator[_Branch]:
    """Yield the branches in which a packet leaves a chain; no verdict: it fell off the end."""
    if depth > DEPTH_MAX:
        raise UnknownWord(place.chain)
    going = [start]
    for rule in chain:
        after = [end for one in going for end in _met(rules, place, rule, one, depth)]
        yield from (replace(end, verdict="") for end in after if end.verdict == "RETURN")
        yield from (end for end in after if end.verdict not in ("", "RETURN"))
        going = [end for end in after if not end.verdict]
    yield from going


def _met(
    rules: RuleSet, place: Chain, rule: Rule, branch: _Branch, depth: int
) -> Iterator[_Branch]:
    """Yield what becomes of a packet that comes to a rule: not taken, or taken and acted on."""
    odds, target = _judged(rule, branch.packet)
    if odds < 1:
        yield replace(branch, odds=branch.odds * (1 - odds))
    if odds > 0:
        taken = replace(branch, odds=branch.odds * odds)
        yield from _acted(rules, place, target, taken, depth)


def _acted(
    rules: RuleSet, place: Chain, target: Rule, branch: _Branch, depth: int
) -> Iterator[_Branch]:
    """Carry out a rule's target: change the packet, give a verdict, or go into a chain."""
    match target:
        case ("MARK", "--set-xmark", value):
            bits, _, mask = value.partition("/")
            mark = (branch.packet.mark & ~int(mask, 16)) ^ int(bits, 16)
            yield replace(branch, packet=replace(branch.packet, mark=mark))
        case ("DNAT", "--to-destination", value):
            address, _, port = value.partition(":")
            moved = replace(branch.packet, destination=IPv4Address(address), port=int(port))
            yield replace(branch, packet=moved, verdict="DNAT")
        case ("ACCEPT" | "DROP" | "RETURN" | "REJECT" | "MASQUERADE" as word, *_):
            yield replace(branch, verdict=word)
        case (chain,):
            inner = Chain(place.table, chain)
            if inner not in rules.chains:
                raise UnknownWord(chain)
            yield from _walk(rules, inner, rules.chains[inner], branch, depth + 1)
        case _:
            raise UnknownWord(" ".join(target))


def _judged(rule: Rule, packet: Packet) -> tuple[Fraction, Rule]:
    """Return the probability that a rule takes a packet, and the words of its target."""
    words = list(rule)
    odds = Fraction(1)
    is_inverted = False
    while words:
        word = words.pop(0)
        if word == "-j":
            return odds, tuple(words)
        if word == "!":
            is_inverted = True
            continue
        value = words.pop(0)
        if word in ("-m", "--mode", "--comment"):
            continue
        if word == "--probability":
            odds *= _drawn(value)
        elif _is_met(word, value, packet) == is_inverted:
            return Fraction(0), ()
        is_inverted = False
    raise UnknownWord("a rule without a target")


def _drawn(text: str) -> Fraction:
    """Return the probability as the kernel takes it: a whole number of 2**31 possibilities."""
    return Fraction(round(Fraction(text) * 2**31), 2**31)


def _is_met(word: str, value: str, packet: Packet) -> bool:
    match word:
        case "-s":
            return packet.source in IPv4Network(value)
        case "-d":
            return packet.destination in IPv4Network(value)
        case "-p":
            return packet.protocol == value
        case "--dport":
            return packet.port == int(value)
        case "--mark":
            bits, _, mask = value.partition("/")
            return packet.mark & int(mask, 16) == int(bits, 16)
        case "--ctstate":
            return packet.state in value.split(",")
        case _:
            raise UnknownWord(word)
