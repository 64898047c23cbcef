"""All objects of one kind in memory, the last of their changes, and who watches them.

Theory of operation. `items` is the present at `revision`; `events` are the last changes, each with
the object before and after it, numbered without gaps. A watch is no queue but a place in the
events: it costs no memory of its own, and one that reads too slowly finds its place gone and is
cut off. A change wakes those watches only that it concerns, a few at a time; the others have their
place moved at once. What an event looks like on the wire is encoded once, however many watch; and
what is new to watches of one selection that stand at one place is found and joined once for all.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from operator import attrgetter

from apiserver.fairness.gate import Class
from apiserver.fairness.waking import Waking, Whose
from apiserver.state.items import Item, departed
from apiserver.state.selection import EventType, Selection
from cubernetes.api.meta import Object

# Changes of one kind that a watch may be behind: it bounds memory and how far a watch can resume.
EVENTS_MAX = 2048
# What a stream is given at a time: it bounds what waits in the socket of one who does not read.
EVENTS_PER_PIECE = 64


class FellBehind(Exception):
    """The changes that a watch would have to read next are no longer kept."""


class Event:
    """One change of one object; new is None where it was deleted, old where it was created."""

    __slots__ = ("_gone", "_lines", "new", "old", "revision")

    def __init__(self, revision: int, old: Item | None, new: Item | None) -> None:
        self.revision = revision
        self.old = old
        self.new = new
        self._gone: Item | None = None
        self._lines: dict[tuple[str, EventType], bytes] = {}

    def shown_as(self, verdict: EventType) -> Item:
        """Return the object that an event carries: the last one with this revision, if it went."""
        if verdict != "DELETED":
            assert self.new is not None  # noqa: S101  only what is there is added or modified
            return self.new
        if self._gone is None:
            assert self.old is not None  # noqa: S101  only what was there goes
            self._gone = departed(self.old, self.revision)
        return self._gone

    def line(self, verdict: EventType, form: str, show: Callable[[Item], bytes]) -> bytes:
        """Return the event as a line of a watch; show makes the object's bytes in that form."""
        line = self._lines.get((form, verdict))
        if line is None:
            line = event_line(verdict, show(self.shown_as(verdict)))
            self._lines[form, verdict] = line
        return line


def event_line(verdict: str, content: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (verdict.encode(), content)


class Piece:
    """What is new to all watches of one selection that stand at one place: found and joined once.

    changes: what concerns them, in order. end: the place behind them.
    """

    __slots__ = ("_joined", "begin", "changes", "end")

    def __init__(self, selection: Selection, events: Sequence[Event], begin: int) -> None:
        verdict = selection.verdict
        self.changes = [
            (seen, one) for one in events if (seen := verdict(one.old, one.new)) is not None
        ]
        self.begin, self.end = begin, begin + len(events)
        self._joined: dict[str, bytes] = {}

    def lines(self, form: str, show: Callable[[Item], bytes]) -> bytes:
        """Return the lines of a watch; show makes an object's bytes in that form."""
        joined = self._joined.get(form)
        if joined is None:
            lines = [one.line(verdict, form, show) for verdict, one in self.changes]
            # One line is handed on as it is: all watches share its bytes.
            joined = self._joined[form] = lines[0] if len(lines) == 1 else b"".join(lines)
        return joined


class Audience:
    """All watches of one selection: what a change is to them is found once for all."""

    __slots__ = ("selection", "shown", "watches")

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.watches: dict[Watch, None] = {}
        # What was taken last, until something changes: the next watch mostly takes the same.
        self.shown: Piece | None = None

    def is_concerned(self, events: Sequence[Event]) -> bool:
        verdict = self.selection.verdict
        return any(verdict(one.old, one.new) is not None for one in events)


class Watch:
    """A reader's place in the changes of one kind. `close` it, or it is woken for ever."""

    __slots__ = ("_cache", "audience", "call", "place", "whose")

    def __init__(self, cache: "KindCache", audience: Audience, place: int, whose: Whose) -> None:
        self._cache = cache
        self.audience = audience
        # The class of its user, and the user's name.
        self.whose = whose
        # The number of the first event that this watch has not read.
        self.place = place
        # Whom to call when there is more; None where nobody waits for that.
        self.call: Callable[[], None] | None = None

    def take(self) -> Piece:
        """Return what is new to this watch since it last asked, in order; the next piece of it.

        Raises: FellBehind.
        """
        piece = self._cache.piece_for(self.audience, self.place)
        self.place = piece.end
        return piece

    @property
    def is_at_end(self) -> bool:
        """It has read every change that there is."""
        return self.place >= self._cache.end

    def when_more(self, call: Callable[[], None]) -> None:
        """Call once, in this watch's turn, at a change that concerns it or when it is woken.

        Where there is something to read already, that is its next turn.
        """
        self.call = call
        if not self.is_at_end:
            self.wake_in_turn()

    def wake_in_turn(self) -> None:
        self._cache.wake_in_turn(self)

    def wake(self) -> None:
        call, self.call = self.call, None
        if call is not None:
            call()

    def close(self) -> None:
        self._cache.forget(self)


class KindCache:
    """The objects of one kind as of a revision of the store, in the order of their keys."""

    def __init__(
        self,
        kind: type[Object],
        *,
        events_max: int = EVENTS_MAX,
        waking: Waking | None = None,
    ) -> None:
        """Watches of all kinds are woken in the same rounds."""
        self.kind = kind
        self._waking: Waking = waking or Waking()
        self.items: dict[str, Item] = {}
        self.keys: list[str] = []
        # The revision of the last change of this kind: from there on nothing has changed.
        self.changed_at = 0
        # Every change after this revision is among the events.
        self.floor = 0
        self._events_max = events_max
        self._events: list[Event] = []
        self._first = 0
        self._audiences: dict[Selection, Audience] = {}

    @property
    def end(self) -> int:
        """The number that the next event will have."""
        return self._first + len(self._events)

    def load(self, items: Sequence[Item], revision: int) -> None:
        """Begin anew with these items, in key order; every watch that is open falls behind."""
        self.items = {item.key: item for item in items}
        self.keys = [item.key for item in items]
        # One number is left out, so that also a watch that had read everything falls behind.
        self._first = self.end + 1
        self._events = []
        self.floor = self.changed_at = revision
        for audience in self._audiences.values():
            audience.shown = None
            for watch in audience.watches:
                self.wake_in_turn(watch)

    def apply(self, changes: Sequence[tuple[str, Item | None, int]]) -> None:
        """Take over changes (key, what stands there now, revision), in order; tell who watches."""
        events = [self._changed(key, new, revision) for key, new, revision in changes]
        if not events:
            return
        self._events += events
        # A quarter more than the limit before trimming, so that trimming costs little on average.
        if len(self._events) > self._events_max * 1.25:
            surplus = len(self._events) - self._events_max
            self.floor = self._events[surplus - 1].revision
            del self._events[:surplus]
            self._first += surplus
        for audience in self._audiences.values():
            audience.shown = None
            self._tell(audience, events)

    def _tell(self, audience: Audience, events: Sequence[Event]) -> None:
        """Wake the watches of an audience that wait for one of these, the newest events.

        If none concerns it, they are moved on. Those that are to be woken already read these too.
        """
        is_concerned, end = audience.is_concerned(events), self.end
        for watch in audience.watches:
            if watch.call is None:
                continue
            if is_concerned:
                self._waking.add(watch.whose, watch)
            elif watch not in self._waking:
                watch.place = end

    def _changed(self, key: str, new: Item | None, revision: int) -> Event:
        old = self.items.get(key)
        if new is not None:
            if old is None:
                insort(self.keys, key)
            self.items[key] = new
        elif old is not None:
            del self.items[key]
            del self.keys[bisect_left(self.keys, key)]
        self.changed_at = revision
        return Event(revision, old, new)

    def chosen(self, selection: Selection, after: str = "") -> list[Item]:
        """Return the items of a selection, in key order, from behind the key `after`."""
        items, keys = self.items, self.keys
        low, high = self._span(selection.prefix)
        if after:
            low = max(low, bisect_right(keys, after))
        found = [items[key] for key in keys[low:high]]
        return found if selection.is_whole else [one for one in found if selection.matches(one)]

    def chosen_at(self, selection: Selection, revision: int, after: str = "") -> list[Item]:
        """Return what `chosen` would have returned at a revision, told by what changed since.

        Raises: FellBehind: the changes right after that revision are no longer kept.
        """
        if revision < self.floor:
            raise FellBehind
        index = bisect_right(self._events, revision, key=attrgetter("revision"))
        # What stood at the keys that have changed since: the oldest of these changes says.
        then: dict[str, Item | None] = {}
        for event in self._events[index:]:
            if (one := event.old or event.new) is not None:
                then.setdefault(one.key, event.old)
        found = [one for one in self.chosen(selection, after) if one.key not in then]
        found += [
            one
            for one in then.values()
            if one is not None and one.key > after and selection.matches(one)
        ]
        return sorted(found, key=attrgetter("key"))

    def under(self, prefix: str) -> list[Item]:
        """Return the items whose keys begin with a prefix, in key order."""
        low, high = self._span(prefix)
        return [self.items[key] for key in self.keys[low:high]]

    def count(self, prefix: str) -> int:
        """Return how many items have keys that begin with a prefix."""
        low, high = self._span(prefix)
        return high - low

    def _span(self, prefix: str) -> tuple[int, int]:
        low = bisect_left(self.keys, prefix)
        # The character after "/" ends what begins with the prefix.
        return low, bisect_left(self.keys, prefix[:-1] + "0", low)

    def watch(
        self,
        selection: Selection,
        after: int | None = None,
        whose: Whose = (Class.USERS, ""),
    ) -> Watch:
        """Open a watch for the changes after a revision; None is from now on.

        Raises: FellBehind: the changes right after that revision are no longer kept.
        """
        if after is not None and after < self.floor:
            raise FellBehind
        place = self.end
        if after is not None:
            index = bisect_right(self._events, after, key=attrgetter("revision"))
            place = self._first + index
        audience = self._audiences.setdefault(selection, Audience(selection))
        watch = Watch(self, audience, place, whose)
        audience.watches[watch] = None
        return watch

    def piece_for(self, audience: Audience, place: int) -> Piece:
        """Return what the next events from a place on are to an audience. Raises: FellBehind."""
        piece = audience.shown
        if piece is not None and piece.begin == place:
            return piece
        piece = Piece(audience.selection, self.events_from(place), place)
        if len(audience.watches) > 1:
            audience.shown = piece
        return piece

    def events_from(self, place: int) -> list[Event]:
        """Return the next events from a place on, not more than one piece of a stream holds.

        Raises: FellBehind.
        """
        if place < self._first:
            raise FellBehind
        begin = place - self._first
        return self._events[begin : begin + EVENTS_PER_PIECE]

    def wake_in_turn(self, watch: Watch) -> None:
        self._waking.add(watch.whose, watch)

    def forget(self, watch: Watch) -> None:
        """Close a watch, once or more often."""
        audience = watch.audience
        if watch in audience.watches:
            del audience.watches[watch]
            if not audience.watches:
                del self._audiences[audience.selection]
        self._waking.discard(watch)
