"""What is to be done about instances and revisions: a function of what is wanted and what is. Pure.

Level-triggered: planning again from the same facts asks for the same, and what was done is not
asked for again once the facts show it. What is under way is among the facts (`is_busy`, `coming`).

**Revisions.** Each code that a function has had is a revision. The newest is tried in one instance
first; where it can be loaded, it is loaded in all, beside the one before, whose calls end there.
Where it cannot, the newest that could be loaded serves on. Where calls are split between
revisions, each of these is loaded in all; one of them that nobody has tried yet is tried after the
newest. What an instance cannot load it is given again after a pause, and keeps nothing else back.

**Instances.** As many as the most that was needed lately; taken from the pool where it has ready
ones, else made. One that is not needed drains: it gets no more calls, and is deleted when its last
has ended; need takes it back before that.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from cubernetes.api.meta import Object, Ref
from cubernetes.api.serverless.function import Function, SizeClass
from cubernetes.api.serverless.functionrevision import FunctionRevision
from serverless.board.key import FunctionKey
from serverless.brain.naming import revision_name
from serverless.brain.traffic import Split, is_loaded, split_of

POOL_CLASS: SizeClass = "small"
REVISIONS_KEPT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A pod that runs the runner, and what is known of it.

    function is None for one of the pool. is_busy: something is being done to it. is_broken: its pod
    has ended, or it refuses what it is told. loaded: the revisions that it has; failed: those that
    it could not load; resting: of these, those that it is not given again yet.
    """

    name: str
    function: FunctionKey | None
    size: SizeClass
    is_ready: bool = False
    is_busy: bool = False
    is_broken: bool = False
    is_draining: bool = False
    loaded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    resting: tuple[str, ...] = ()
    running_count: int = 0


# The revisions of each function, by the function's uid, the oldest first.
type Revisions = Mapping[str, Sequence[FunctionRevision]]


class Aim(NamedTuple):
    """What a function is to have.

    code: the name of its code's revision. latest: that revision; split: those that calls go to.
    trials: those that are still to be tried, one at a time. wanted: how many instances.
    """

    code: str
    latest: FunctionRevision | None
    split: Split
    trials: tuple[FunctionRevision, ...]
    wanted: int

    @property
    def is_tried(self) -> bool:
        """Whether a revision is still to be tried."""
        return bool(self.trials)

    @property
    def is_hopeless(self) -> bool:
        """Whether all that there is has been tried, and nothing of it could be loaded."""
        return self.latest is not None and not self.split.shares and not self.trials

    @property
    def served(self) -> tuple[str, ...]:
        """Return the names of the revisions that calls go to."""
        return tuple(one.revision.metadata.name for one in self.split.shares)


@dataclass(frozen=True, kw_only=True)
class World:
    """All that a plan depends on.

    needed: the most instances that a function's calls needed lately. coming: for whom pods are
    being made that instances do not show yet. making: revisions that are being made or deleted.
    lacking: which Secret a revision waits for, by its reference.
    """

    functions: Sequence[Function] = ()
    revisions: Revisions = field(default_factory=dict)
    instances: Sequence[Instance] = ()
    needed: Mapping[FunctionKey, int] = field(default_factory=dict)
    coming: Sequence[tuple[FunctionKey | None, SizeClass]] = ()
    making: frozenset[str] = frozenset()
    lacking: Mapping[Ref, str] = field(default_factory=dict)
    pool_size: int = 0

    @cached_property
    def by_name(self) -> Sequence[Instance]:
        """The instances in the order of their names: no choice follows from how they are shown."""
        return sorted(self.instances, key=lambda one: one.name)

    @cached_property
    def by_function(self) -> Mapping[FunctionKey, Sequence[Instance]]:
        """The instances of each function that are not broken."""
        found: dict[FunctionKey, list[Instance]] = {}
        for one in self.by_name:
            if one.function is not None and not one.is_broken:
                found.setdefault(one.function, []).append(one)
        return found

    @cached_property
    def aims(self) -> Mapping[FunctionKey, Aim]:
        """What each function is to have: its code is hashed once for all who ask."""
        return {key_of(one): _aim(one, self) for one in self.functions}

    @cached_property
    def coming_count(self) -> Mapping[tuple[FunctionKey | None, SizeClass], int]:
        return Counter(self.coming)


@dataclass(frozen=True, slots=True)
class MakeRevision:
    """Keep the code of a function as a revision."""

    function: Function


@dataclass(frozen=True, slots=True)
class DropRevision:
    revision: FunctionRevision


@dataclass(frozen=True, slots=True)
class MakeInstance:
    """Make a pod, for a function or for the pool."""

    function: FunctionKey | None
    size: SizeClass


@dataclass(frozen=True, slots=True)
class Claim:
    """Take an instance of the pool for a function."""

    instance: Instance
    function: FunctionKey


@dataclass(frozen=True, slots=True)
class Load:
    """Load a revision in an instance, which keeps those of `keep` beside it."""

    instance: Instance
    revision: FunctionRevision
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drain:
    """Give an instance no more calls, or (is_draining false) calls again."""

    instance: Instance
    is_draining: bool


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete an instance's pod."""

    instance: Instance


type Action = MakeRevision | DropRevision | MakeInstance | Claim | Load | Drain | Remove


def plan(world: World) -> Iterator[Action]:
    """Yield what is to be done now."""
    pool = [
        one
        for one in world.by_name
        if one.function is None and one.is_ready and not one.is_busy and not one.is_broken
    ]
    known = {key_of(one) for one in world.functions}
    for function in sorted(world.functions, key=key_of):
        yield from _for_function(function, world, pool)
    for one in world.instances:
        is_orphan = one.function is not None and one.function not in known
        if not one.is_busy and (one.is_broken or (is_orphan and one.running_count == 0)):
            yield Remove(one)
        elif is_orphan and not one.is_draining:
            yield Drain(one, is_draining=True)
    yield from _pool(world)


def key_of(one: Object) -> FunctionKey:
    return FunctionKey(one.metadata.namespace, one.metadata.name)


def revisions_by_function(revisions: Iterable[FunctionRevision]) -> Revisions:
    """Return the revisions by the uid of the function that owns them, the oldest first."""
    found: dict[str, list[FunctionRevision]] = {}
    for one in sorted(revisions, key=lambda one: (_made_s(one), one.metadata.name)):
        found.setdefault(one.parent_uid, []).append(one)
    return found


def _aim(function: Function, world: World) -> Aim:
    """Return what a function is to have.

    What is not split goes to the latest revision where it can be loaded, else to the newest of the
    others that could be.
    """
    own, name = world.revisions.get(function.metadata.uid, ()), revision_name(function)
    latest = next((one for one in own if one.metadata.name == name), None)
    verdict = is_loaded(latest) if latest is not None else False
    others = [one for one in own if one.metadata.name != name and is_loaded(one)]
    newest = latest if verdict else others[-1] if others else None
    split = split_of(function.spec.traffic, own, newest)
    trials = _trials(function, own, latest)
    wanted = wanted_count(
        function,
        world.needed.get(key_of(function), 0),
        can_serve=bool(split.shares) or bool(trials),
        is_tried=bool(trials),
    )
    return Aim(name, latest, split, trials, wanted)


def _trials(
    function: Function, own: Sequence[FunctionRevision], latest: FunctionRevision | None
) -> tuple[FunctionRevision, ...]:
    """Return what nobody has tried yet: the latest revision, then those that the split names."""
    if latest is None:
        return ()
    named = {one.revision for one in function.spec.traffic} - {latest.metadata.name}
    others = [one for one in own if one.metadata.name in named]
    return tuple(one for one in (latest, *others) if is_loaded(one) is None)


def wanted_count(function: Function, needed_count: int, *, can_serve: bool, is_tried: bool) -> int:
    """Return how many instances a function is to have.

    is_tried: a revision is still to be tried, for which one is enough.
    """
    spec = function.spec
    if not can_serve:
        return 1 if is_tried else 0
    return min(spec.max_instances, max(needed_count, spec.min_instances, int(is_tried)))


def _for_function(function: Function, world: World, pool: list[Instance]) -> Iterator[Action]:
    key = key_of(function)
    own = world.by_function.get(key, ())
    aim = world.aims[key]
    if aim.latest is None and aim.code not in world.making:
        yield MakeRevision(function)
    yield from _sized(function, aim.wanted, own, world, pool)
    yield from _loads(own, aim)
    yield from _old_revisions(function, world, own, aim)


def _sized(
    function: Function,
    wanted: int,
    own: Sequence[Instance],
    world: World,
    pool: list[Instance],
) -> Iterator[Action]:
    """Take back, claim and make instances, or drain and remove them."""
    key, size = key_of(function), function.spec.resources
    fit = [one for one in own if one.size == size]
    active = [one for one in fit if not one.is_draining]
    missing = wanted - len(active) - world.coming_count.get((key, size), 0)
    for one in fit:
        if missing > 0 and one.is_draining and not one.is_busy:
            missing -= 1
            yield Drain(one, is_draining=False)
    while missing > 0 and size == POOL_CLASS and pool:
        missing -= 1
        yield Claim(pool.pop(0), key)
    for _ in range(missing):
        yield MakeInstance(key, size)
    yield from _given_up(function, wanted, own, is_enough=missing <= 0)


def _given_up(
    function: Function, wanted: int, own: Sequence[Instance], *, is_enough: bool
) -> Iterator[Action]:
    """Drain what is not needed, and remove what has drained."""
    size = function.spec.resources
    active = [one for one in own if one.size == size and not one.is_draining]
    surplus = sorted(active, key=_worth)[: max(0, len(active) - wanted)]
    # Of another size than is wanted now: it serves until one of the right size can.
    if wanted == 0 or any(one.loaded for one in active):
        surplus += [one for one in own if one.size != size]
    for one in surplus:
        if not one.is_draining:
            yield Drain(one, is_draining=True)
    for one in own:
        if one.is_draining and is_enough and one.running_count == 0 and not one.is_busy:
            yield Remove(one)


def _worth(one: Instance) -> tuple[bool, bool, int, str]:
    """What is not ready goes first, then what is idle, then what runs least."""
    return one.is_ready, bool(one.loaded), one.running_count, one.name


def _loads(own: Sequence[Instance], aim: Aim) -> Iterator[Action]:
    """Load the revisions that serve everywhere, and one that is to be tried in one place."""
    open_ones = [one for one in own if one.is_ready and not one.is_draining]
    whole: list[Instance] = []
    for one in (one for one in open_ones if not one.is_busy):
        if fresh := _lacking(one, aim, but=one.failed):
            yield Load(one, fresh[0], aim.served)
        else:
            # Only where those that serve are loaded, so that a call need not wait for the trial.
            whole.append(one)
    resting = {name for one in open_ones for name in one.resting}
    trial = next((one for one in aim.trials if one.metadata.name not in resting), None)
    if trial is None or not whole:
        yield from _loads_again(whole, aim)
    elif not any(one.is_busy for one in open_ones):
        chosen = min(whole, key=lambda one: (one.running_count, one.name))
        yield Load(chosen, trial, aim.served)


def _loads_again(whole: Iterable[Instance], aim: Aim) -> Iterator[Action]:
    """Load what could not be loaded and has rested; a trial goes before it."""
    for one in whole:
        if again := _lacking(one, aim, but=one.resting):
            yield Load(one, again[0], aim.served)


def _lacking(one: Instance, aim: Aim, but: Sequence[str]) -> list[FunctionRevision]:
    """Return the revisions that an instance is to have and has not, but some."""
    shares = (told.revision for told in aim.split.shares)
    return [it for it in shares if it.metadata.name not in (*one.loaded, *but)]


def _old_revisions(
    function: Function,
    world: World,
    own: Sequence[Instance],
    aim: Aim,
) -> Iterator[Action]:
    in_use = {name for one in own for name in one.loaded} | {aim.code, *aim.served}
    in_use |= {one.revision for one in function.spec.traffic}
    for one in world.revisions.get(function.metadata.uid, ())[:-REVISIONS_KEPT]:
        name = one.metadata.name
        if name not in in_use and name not in world.making:
            yield DropRevision(one)


def _pool(world: World) -> Iterator[Action]:
    """Keep as many in the pool as are wanted, those that are on their way included."""
    there = [one for one in world.by_name if one.function is None and not one.is_broken]
    coming_count = world.coming_count.get((None, POOL_CLASS), 0)
    for _ in range(world.pool_size - len(there) - coming_count):
        yield MakeInstance(None, POOL_CLASS)
    idle = [one for one in there if not one.is_busy]
    for one in idle[: max(0, len(there) - world.pool_size)]:
        yield Remove(one)


def _made_s(one: Object) -> float:
    made_at = one.metadata.creation_timestamp
    return made_at.timestamp() if made_at is not None else 0.0
