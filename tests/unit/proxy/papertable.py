"""An nf_tables table on paper: what transactions make of it, for tests without root.

It refuses what a kernel refuses: a key that is there with another value, one that is not there to
be removed, a chain that is still led into.
"""

from collections.abc import Iterable

from cubernetes.host.packetfilter import nfnetlink as wire
from cubernetes.host.packetfilter.nfnetlink import Message, attributes_in, each_attribute, text_in
from cubernetes.host.packetfilter.nftables import (
    ElementKey,
    Goto,
    Hook,
    TableState,
    Value,
    comment_in,
    elements_in,
)


class PaperTable:
    """The one table of a kernel."""

    def __init__(self) -> None:
        self.is_there = False
        self.hooks: dict[str, Hook | None] = {}
        self.rules: dict[str, list[tuple[str, frozenset[str]]]] = {}
        self.sets: set[str] = set()
        self.elements: dict[ElementKey, Value] = {}

    def transact(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._do(message.kind, message.body)

    def held(self) -> TableState | None:
        if not self.is_there:
            return None
        chains = {
            name: (hook, tuple(comment for comment, _ in self.rules[name]))
            for name, hook in self.hooks.items()
        }
        return TableState(chains, frozenset(self.sets), dict(self.elements))

    def _do(self, kind: int, body: bytes) -> None:
        parts = attributes_in(body)
        match kind:
            case wire.NEW_TABLE:
                self.is_there = True
            case wire.DELETE_TABLE:
                assert self.is_there
                self.__init__()  # type: ignore[misc]
            case wire.NEW_SET:
                self.sets.add(text_in(parts[2]))
            case wire.NEW_CHAIN:
                self._new_chain(parts)
            case wire.DELETE_CHAIN:
                self._no_chain(text_in(parts[3]))
            case wire.NEW_RULE:
                targets = frozenset(_targets(parts[4]))
                assert targets <= self.hooks.keys()
                self.rules[text_in(parts[2])].append((comment_in(parts[7]), targets))
            case wire.NEW_ELEMENTS | wire.DELETE_ELEMENTS:
                self._elements(text_in(parts[2]), body, is_new=kind == wire.NEW_ELEMENTS)
            case _:
                raise AssertionError(kind)

    def _new_chain(self, parts: dict[int, bytes] | object) -> None:
        assert isinstance(parts, dict)
        name = text_in(parts[3])
        assert name not in self.hooks
        hook = None
        if 4 in parts:
            place = attributes_in(parts[4])
            number, priority = (int.from_bytes(place[at], "big", signed=True) for at in (1, 2))
            hook = Hook(text_in(parts[7]), number, priority)
        self.hooks[name] = hook
        self.rules[name] = []

    def _no_chain(self, name: str) -> None:
        led = {target for rules in self.rules.values() for _, to in rules for target in to}
        led |= {value.chain for value in self.elements.values() if isinstance(value, Goto)}
        assert name not in led
        del self.hooks[name], self.rules[name]

    def _elements(self, name: str, body: bytes, *, is_new: bool) -> None:
        assert name in self.sets
        for place, value in elements_in(name, b"\0" * wire.GENMSG.size + body):
            if not is_new:
                del self.elements[place]
                continue
            assert self.elements.get(place, value) == value
            assert not isinstance(value, Goto) or not value.chain or value.chain in self.hooks
            self.elements[place] = value


def _targets(expressions: bytes) -> Iterable[str]:
    for _, expression in each_attribute(expressions):
        parts = attributes_in(expression)
        if text_in(parts[1]) == "immediate":
            verdict = attributes_in(attributes_in(parts[2])[2]).get(2, b"")
            told = attributes_in(verdict).get(2)
            if told:
                yield text_in(told)
