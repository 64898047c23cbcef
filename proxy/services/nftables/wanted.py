"""What the table should hold: compiled service by service, joined, and compared. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from cubernetes.host.packetfilter.flows import Front
from cubernetes.host.packetfilter.nfnetlink import Message
from cubernetes.host.packetfilter.nftables import (
    ChainOf,
    ElementKey,
    Elements,
    TableState,
    Value,
    fingerprints,
    new_chain,
    new_elements,
    new_rules,
    new_set,
    new_table,
    no_chain,
    no_elements,
    no_table,
)
from proxy.services.nftables.claims import Claims
from proxy.services.nftables.elements import ServiceElements, part_of, udp_endpoints
from proxy.services.nftables.skeleton import SETS, TABLE, chains_for
from proxy.services.nftables.ways import CLIENTS, Way, chain_of, needed_by
from proxy.services.served import Facts, Key, Served, ServedPort

# What a look reads; clients come and go by themselves.
READ = tuple(one.name for one in SETS if one.name != CLIENTS)

type Fronts = Mapping[Front, Collection[str]]


class Difference(NamedTuple):
    """What makes the kernel hold what it should; nothing to do where messages is empty.

    before and after: the endpoints behind UDP fronts that this changes.
    """

    messages: Sequence[Message]
    changed_count: int
    before: Fronts
    after: Fronts


class Wanted:
    """The table as the services of now want it, and what of it has not been written yet."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._always = {chain.name: chain for chain in chains_for(facts)}
        self._parts: dict[Key, ServiceElements] = {}
        self._faulty: set[Key] = set()
        self._elements: Claims[ElementKey, Value] = Claims()
        self._ways: Claims[Way, bool] = Claims()
        # What the kernel has of the keys that changed since the last transaction.
        self._had: dict[ElementKey, Value | None] = {}
        self._had_ways: dict[Way, bool | None] = {}
        self._udp_before: dict[Front, Collection[str]] = {}
        self._udp_after: dict[Front, Collection[str]] = {}

    @property
    def size(self) -> int:
        """Return how many elements there are."""
        return len(self._elements)

    @property
    def unwritten_count(self) -> int:
        """Return how many keys may differ from what the kernel has."""
        return len(self._had) + len(self._had_ways)

    @property
    def skipped(self) -> tuple[str, ...]:
        return tuple(reason for key in sorted(self._faulty) for reason in self._parts[key].skipped)

    @property
    def ports(self) -> list[ServedPort]:
        return [port for key in sorted(self._parts) for port in self._parts[key].served.ports]

    def take(self, key: Key, served: Served | None) -> None:
        """Compile one service anew; None: it is gone."""
        old = self._parts.pop(key, ServiceElements())
        new = part_of(served) if served else ServiceElements()
        if served:
            self._parts[key] = new
        # Few are: a turn must not look at every service to tell them.
        self._faulty.discard(key)
        self._faulty |= {key} if new.skipped else set()
        self._note(key, old, new)

    def _note(self, key: Key, old: ServiceElements, new: ServiceElements) -> None:
        gone = [place for place in old.elements if place not in new.elements]
        come = {
            place: value
            for place, value in new.elements.items()
            if old.elements.get(place) != value
        }
        before, after = self._elements.move(key, gone, come)
        for place in before.keys() | after.keys():
            self._had.setdefault(place, before.get(place))
        fresh = {each: True for way in new.ways for each in needed_by(way)}
        stale = {each for way in old.ways for each in needed_by(way)} - fresh.keys()
        had, has = self._ways.move(key, stale, fresh)
        for way in had.keys() | has.keys():
            self._had_ways.setdefault(way, had.get(way))
        if before or after:
            was, now = udp_endpoints(old.elements), udp_endpoints(new.elements)
            for front in was.keys() | now.keys():
                self._udp_before.setdefault(front, was.get(front, ()))
                self._udp_after[front] = now.get(front, ())

    def written(self) -> None:
        """Note that the kernel holds what is wanted."""
        for one in (self._had, self._had_ways, self._udp_before, self._udp_after):
            one.clear()

    def unwritten(self) -> Difference:
        """Return what has changed since the kernel was last known to be right."""
        elements = self._elements
        gone = [
            place
            for place, had in self._had.items()
            if had is not None and had != elements.get(place)
        ]
        come = {
            place: value
            for place, had in self._had.items()
            if (value := elements.get(place)) is not None and value != had
        }
        ways = [
            way for way, had in self._had_ways.items() if bool(had) != bool(self._ways.get(way))
        ]
        new = [self._chain(way) for way in ways if self._ways.get(way)]
        old = [way for way in ways if not self._ways.get(way)]
        names = [way.name for way in sorted(old, key=_depth, reverse=True)]
        messages = [*_chains(new), *_moved(gone, come), *_without(names)]
        count = len(gone) + len(come) + len(ways)
        return Difference(messages, count, dict(self._udp_before), dict(self._udp_after))

    def against(self, held: TableState | None) -> Difference:
        """Return what makes a table that was read be as wanted: what differs, or all of it."""
        elements = self._elements.all()
        chains = {way.name: self._chain(way) for way in sorted(self._ways.all(), key=_depth)}
        after = udp_endpoints(elements)
        if held is None or not self._is_sound(held, chains):
            before = udp_endpoints(held.elements) if held else {}
            messages = [
                *_cleared(held),
                *_all_of((*self._always.values(), *chains.values()), elements),
            ]
            return Difference(messages, len(elements) + len(chains), before, after)
        gone = [place for place, has in held.elements.items() if elements.get(place) != has]
        come = {
            place: value for place, value in elements.items() if held.elements.get(place) != value
        }
        new = [chain for name, chain in chains.items() if name not in held.chains]
        old = [name for name in held.chains if name not in chains and name not in self._always]
        messages = [*_chains(new), *_moved(gone, come), *_without(_outermost_first(old))]
        count = len(gone) + len(come) + len(new) + len(old)
        return Difference(messages, count, udp_endpoints(held.elements), after)

    def _chain(self, way: Way) -> ChainOf:
        return chain_of(way, self._facts.pod_range)

    def _is_sound(self, held: TableState, chains: Mapping[str, ChainOf]) -> bool:
        """Tell whether all that is never edited stands as it was written, but for whole ways."""
        if not {one.name for one in SETS} <= held.sets:
            return False
        if any(name not in held.chains for name in self._always):
            return False
        known = {**chains, **self._always}
        return all(
            held.chains[name] == (chain.hook, fingerprints(chain))
            for name, chain in known.items()
            if name in held.chains
        )


def _depth(way: Way) -> tuple[int, str]:
    return len(needed_by(way)), way.name


def _outermost_first(names: Iterable[str]) -> list[str]:
    # A way's name ends with, or holds, the names of those that it leads into: it is longer.
    return sorted(names, key=lambda name: (-len(name), name))


def _chains(chains: Iterable[ChainOf]) -> Iterator[Message]:
    chains = list(chains)
    # All of them first, so that a rule may lead into any.
    yield from (new_chain(TABLE, chain) for chain in chains)
    for chain in chains:
        yield from new_rules(TABLE, chain)


def _moved(gone: Iterable[ElementKey], come: Elements) -> Iterator[Message]:
    yield from no_elements(TABLE, gone)
    yield from new_elements(TABLE, come)


def _without(names: Iterable[str]) -> Iterator[Message]:
    yield from (no_chain(TABLE, name) for name in names)


def _cleared(held: TableState | None) -> Iterator[Message]:
    yield new_table(TABLE)
    if held is not None:
        yield no_table(TABLE)
        yield new_table(TABLE)


def _all_of(chains: Iterable[ChainOf], elements: Elements) -> Iterator[Message]:
    yield from (new_set(TABLE, one) for one in SETS)
    yield from _chains(chains)
    yield from new_elements(TABLE, elements)
