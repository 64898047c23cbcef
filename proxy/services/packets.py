"""What compiled rules do to a packet: every way it can go, with its exact probability. Pure.

A small netfilter on paper, for tests and for people who ask why. It reads the same words that the
kernel is given, and knows exactly the matches and targets that our rules use.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from cubernetes.host.packetfilter.ruleset import Chain, Rule, RuleSet, word_after

type Origin = Literal["node", "forwarded"]
type Ending = Literal["passed", "accepted", "rejected", "dropped"]

DEPTH_MAX = 16  # chains that call one another; the kernel's own limit is far higher

# The hooks that a new connection passes, in order: (table, chain). What comes in goes on by one of
# two ways, once it is known where to.
WAYS: Mapping[Origin, tuple[Chain, ...]] = {
    "node": (Chain("nat", "OUTPUT"), Chain("filter", "OUTPUT"), Chain("nat", "POSTROUTING")),
    "forwarded": (
        Chain("nat", "PREROUTING"),
        Chain("filter", "INPUT"),
        Chain("filter", "FORWARD"),
        Chain("nat", "POSTROUTING"),
    ),
}
INWARDS = frozenset({Chain("filter", "INPUT")})
ONWARDS = frozenset({Chain("filter", "FORWARD"), Chain("nat", "POSTROUTING")})
# Words of rules without a value, and those whose value matches nothing.
FLAGS = frozenset({"--rcheck", "--set", "--reap", "--rsource"})
SILENT = ("-m", "--mode", "--comment", "--seconds", "--mask")
LOOPBACK = IPv4Network("127.0.0.0/8")


class UnknownWord(Exception):
    """A rule says something that this tracer cannot judge."""

    def __init__(self, word: str) -> None:
        super().__init__(f"{word!r} is not a word that our rules use")
        self.word = word


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection, as it is at some point of its way.

    lists: those of the match `recent` that remember its source.
    """

    source: IPv4Address
    destination: IPv4Address
    port: int
    protocol: Literal["tcp", "udp"] = "tcp"
    mark: int = 0
    state: str = "NEW"
    lists: frozenset[str] = frozenset()


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


def fates(
    rules: RuleSet, packet: Packet, origin: Origin, own: Collection[IPv4Address] = ()
) -> dict[Fate, Fraction]:
    """Return every end that a packet may meet, with its probability; they sum up to 1.

    origin: made by the node itself, or come in from a pod or a stranger. own: the node's addresses.
    """
    ends: dict[Fate, Fraction] = {}
    for branch, is_accepted, is_masqueraded in _Machine(rules, own).through(packet, origin):
        ending: Ending = "accepted" if is_accepted else "passed"
        if branch.verdict in ("REJECT", "DROP"):
            ending = "rejected" if branch.verdict == "REJECT" else "dropped"
        fate = Fate(ending, branch.packet, is_masqueraded)
        ends[fate] = ends.get(fate, Fraction(0)) + branch.odds
    return ends


class _Machine:
    """The rules that a node has, and its addresses."""

    def __init__(self, rules: RuleSet, own: Collection[IPv4Address]) -> None:
        self._rules, self._own = rules, frozenset(own)

    def through(self, packet: Packet, origin: Origin) -> list[tuple[_Branch, bool, bool]]:
        way = [(_Branch(packet, Fraction(1)), False, False)]
        for hook in WAYS[origin]:
            following: list[tuple[_Branch, bool, bool]] = []
            for branch, is_accepted, is_masqueraded in way:
                if self._is_past(branch, hook, origin):
                    following.append((branch, is_accepted, is_masqueraded))
                    continue
                start = replace(branch, verdict="")
                jumps = self._rules.jumps.get(hook, ())
                for after in self._walk(Chain(hook.table, ""), jumps, start, 0):
                    accepted = is_accepted or (hook.table, after.verdict) == ("filter", "ACCEPT")
                    masqueraded = is_masqueraded or after.verdict == "MASQUERADE"
                    following.append((after, accepted, masqueraded))
            way = following
        return way

    def _is_past(self, branch: _Branch, hook: Chain, origin: Origin) -> bool:
        """Tell whether a packet does not come to a hook: it has ended, or goes another way."""
        if branch.verdict in ("REJECT", "DROP"):
            return True
        if origin == "node":
            return False
        is_inwards = self._is_local(branch.packet.destination)
        return (hook in INWARDS and not is_inwards) or (hook in ONWARDS and is_inwards)

    def _is_local(self, address: IPv4Address) -> bool:
        return address in self._own or address in LOOPBACK

    def _walk(
        self, place: Chain, chain: tuple[Rule, ...], start: _Branch, depth: int
    ) -> Iterator[_Branch]:
        """Yield the branches in which a packet leaves a chain; no verdict: it fell off the end."""
        if depth > DEPTH_MAX:
            raise UnknownWord(place.chain)
        going = [start]
        for rule in chain:
            after = [end for one in going for end in self._met(place, rule, one, depth)]
            yield from (replace(end, verdict="") for end in after if end.verdict == "RETURN")
            yield from (end for end in after if end.verdict not in ("", "RETURN"))
            going = [end for end in after if not end.verdict]
        yield from going

    def _met(self, place: Chain, rule: Rule, branch: _Branch, depth: int) -> Iterator[_Branch]:
        """Yield what becomes of a packet that comes to a rule: not taken, or taken and acted on."""
        odds, target = self._judged(rule, branch.packet)
        if odds < 1:
            yield replace(branch, odds=branch.odds * (1 - odds))
        if odds > 0:
            packet = _remembering(rule, branch.packet)
            taken = replace(branch, packet=packet, odds=branch.odds * odds)
            yield from self._acted(place, target, taken, depth)

    def _acted(self, place: Chain, target: Rule, branch: _Branch, depth: int) -> Iterator[_Branch]:
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
                if inner not in self._rules.chains:
                    raise UnknownWord(chain)
                yield from self._walk(inner, self._rules.chains[inner], branch, depth + 1)
            case _:
                raise UnknownWord(" ".join(target))

    def _judged(self, rule: Rule, packet: Packet) -> tuple[Fraction, Rule]:
        """Return the probability that a rule takes a packet, and the words of its target."""
        matches, target = _parts_of(rule)
        odds = Fraction(1)
        for is_inverted, word, value in matches:
            if word == "--probability":
                odds *= _drawn(value)
            elif self._is_met(word, value, packet) == is_inverted:
                return Fraction(0), ()
        return odds, target

    def _is_met(self, word: str, value: str, packet: Packet) -> bool:
        end = packet.source if word in ("-s", "--src-type") else packet.destination
        match word, value:
            case ("-s" | "-d", network):
                return end in IPv4Network(network)
            case ("--src-type" | "--dst-type", "LOCAL"):
                return self._is_local(end)
            case ("-p", protocol):
                return packet.protocol == protocol
            case ("--dport", port):
                return packet.port == int(port)
            case ("--name", name):
                return name in packet.lists
            case ("--mark", mark):
                bits, _, mask = mark.partition("/")
                return packet.mark & int(mask, 16) == int(bits, 16)
            case ("--ctstate", states):
                return packet.state in states.split(",")
            case _:
                raise UnknownWord(word)


def _parts_of(rule: Rule) -> tuple[list[tuple[bool, str, str]], Rule]:
    """Return what a rule matches, as (inverted, word, value), and the words of its target."""
    if "-j" not in rule:
        raise UnknownWord("a rule without a target")
    at = rule.index("-j")
    words = [one for one in rule[:at] if one not in FLAGS]
    passed_over = (*SILENT, "--name") if "--set" in rule else SILENT
    matches = []
    while words:
        is_inverted = words[0] == "!"
        word, value = words[is_inverted : is_inverted + 2]
        words = words[is_inverted + 2 :]
        if word not in passed_over:
            matches.append((is_inverted, word, value))
    return matches, rule[at + 1 :]


def _remembering(rule: Rule, packet: Packet) -> Packet:
    """Return a packet that a rule has taken: a list may know its source from now on."""
    if "--set" not in rule:
        return packet
    return replace(packet, lists=packet.lists | {word_after("--name", rule)})


def _drawn(text: str) -> Fraction:
    """Return the probability as the kernel takes it: a whole number of 2**31 possibilities."""
    return Fraction(round(Fraction(text) * 2**31), 2**31)
