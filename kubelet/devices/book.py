"""Which container has which device: a value, changed by making a new one. Pure.

What is given is a *unit*: a device, or one of its shares where it is offered to several containers.
The book is saved before a container is made with what it gives. A unit is free again when its pod
is over and no container of it is left that might still use it; nothing needs to be told of that:
who gives next looks who is there.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import msgspec

from cubernetes.api.core.parts.resources import units
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.spec import PodSpec, is_sidecar
from kubelet.devices.driver import Discovery

SHARED = ".shared"  # how a resource is called whose devices are offered in shares
SHARE_MARK = "::"  # before the number of a share, in a unit's id

type Held = Mapping[str, tuple[str, ...]]  # units by resource


class Owner(NamedTuple):
    """A container of a pod. Its restarts are the same owner."""

    pod_uid: str
    container: str


class CheckpointInvalid(Exception):
    """The text is no record of what was given; it says why."""


class NotEnough(Exception):
    """There are too few units for a pod, in Kubernetes' words."""

    def __init__(self, resource: str, asked: int, available: int) -> None:
        super().__init__(
            f"Allocate failed due to requested number of devices unavailable for {resource}. "
            f"Requested: {asked}, Available: {available}, which is unexpected"
        )


class Unit(NamedTuple):
    """What one container can be given. trouble: why not; empty: it can."""

    id: str
    device: str
    trouble: str = ""


type Stock = Mapping[str, Sequence[Unit]]  # by resource, in the order in which they are given


class Offer(NamedTuple):
    """What a Node says of a resource: so many units there are, and so many can be used."""

    total: int
    usable: int


class Need(NamedTuple):
    """What one container asks of one resource. is_passing: it ends before later ones begin."""

    container: str
    resource: str
    unit_count: int
    is_passing: bool = False


@dataclass(frozen=True, slots=True)
class Book:
    """held: what each container has. offered: resources that this node has ever had devices of."""

    held: Mapping[Owner, Held] = field(default_factory=dict)
    offered: frozenset[str] = frozenset()


class Shelf(NamedTuple):
    """What there is to give, and what is given."""

    stock: Stock
    book: Book

    def available(self, resource: str, others: Mapping[str, int]) -> int:
        """Return how many units are left beside what others have, or are still to get.

        others: how many each pod asks for, by its uid.
        """
        theirs = [
            (owner.pod_uid, held[resource])
            for owner, held in self.book.held.items()
            if owner.pod_uid in others and resource in held
        ]
        counts = {uid: set[str]() for uid in others}
        for uid, given in theirs:
            counts[uid].update(given)
        taken = set().union(*counts.values())
        pending = sum(max(0, asked - len(counts[uid])) for uid, asked in others.items())
        usable = {one.id for one in self.stock.get(resource, ()) if not one.trouble}
        return max(0, len(usable - taken) - pending)


NOTHING = Shelf({}, Book())


def stock_of(found: Mapping[str, Discovery], shares: Mapping[str, int]) -> Stock:
    """Return the units of what was found; a resource that is shared is offered as that alone.

    One that has no device is not named.
    """
    stock: dict[str, Sequence[Unit]] = {}
    for resource, one in found.items():
        if not one.devices:
            continue
        count = shares.get(resource, 0)
        if not count:
            stock[resource] = tuple(Unit(each.id, each.id, each.trouble) for each in one.devices)
        else:
            stock[resource + SHARED] = tuple(
                Unit(f"{each.id}{SHARE_MARK}{index}", each.id, each.trouble)
                for index in range(count)
                for each in one.devices
            )
    return stock


def kind_of(resource: str) -> str:
    """Return the resource whose devices these are, shared or not."""
    return resource.removesuffix(SHARED)


def device_of(unit: str) -> str:
    return unit.partition(SHARE_MARK)[0]


def managed(shelf: Shelf) -> frozenset[str]:
    """Return the resources that are the kubelet's to give: those that it has or had."""
    return shelf.book.offered | frozenset(shelf.stock)


def offers_of(shelf: Shelf) -> Mapping[str, Offer]:
    """Return what the Node is to say of them; of what it had once and has no more: none."""
    stocks = {resource: shelf.stock.get(resource, ()) for resource in sorted(managed(shelf))}
    return {
        resource: Offer(len(all_of), sum(not one.trouble for one in all_of))
        for resource, all_of in stocks.items()
    }


def needs_of(spec: PodSpec, resources: Collection[str]) -> list[Need]:
    """Return what a pod's containers ask of some resources, in the order in which they begin."""
    inits = [need for one in spec.init_containers for need in _needs(one, resources, is_init=True)]
    return inits + [need for one in spec.containers for need in _needs(one, resources)]


def _needs(one: Wanted, resources: Collection[str], *, is_init: bool = False) -> Iterator[Need]:
    for name, amount in sorted(one.resources.limits.items()):
        if name in resources and (count := units(name, amount)):
            yield Need(one.name, name, count, is_init and not is_sidecar(one))


def kept(book: Book, pod_uids: Collection[str]) -> Book:
    """Return the book with what these pods have; what any other had is free."""
    return replace(book, held={one: what for one, what in book.held.items() if one[0] in pod_uids})


def adopted(book: Book, found: Mapping[Owner, Held]) -> Book:
    """Add what containers are found to have of which the book knows nothing.

    A record may have been lost with a disk; the containers carry what they were given.
    """
    held = dict(book.held)
    for owner, what in found.items():
        if what:
            held[owner] = {**what, **held.get(owner, {})}
    return replace(book, held=held)


def renewed(book: Book, stock: Stock, pod_uid: str, running: Collection[str]) -> Book:
    """Take back from containers of a pod that do not run what cannot be used any more."""
    usable = {
        (resource, one.id)
        for resource, all_of in stock.items()
        for one in all_of
        if not one.trouble
    }
    held = dict(book.held)
    for owner, what in book.held.items():
        if owner.pod_uid == pod_uid and owner.container not in running:
            held[owner] = {
                resource: given
                for resource, given in what.items()
                if all((resource, one) in usable for one in given)
            }
    return replace(book, held={owner: what for owner, what in held.items() if what})


def given(book: Book, pod_uid: str, needs: Iterable[Need], stock: Stock) -> Book:
    """Give a pod's containers what they need and do not have; all of it, or nothing.

    A container that begins after others of its pod have ended gets what those had first.

    Raises: NotEnough.
    """
    held: dict[Owner, Held] = dict(book.held)
    passing: dict[str, set[str]] = {}
    for need in needs:
        owner = Owner(pod_uid, need.container)
        reusable = passing.setdefault(need.resource, set())
        mine = held.get(owner, {}).get(need.resource)
        if mine is None:
            free = _free(held, need.resource, stock, reusable)
            if len(free) < need.unit_count:
                raise NotEnough(need.resource, need.unit_count, len(free))
            mine = tuple(free[: need.unit_count])
            held[owner] = {**held.get(owner, {}), need.resource: mine}
        if need.is_passing:
            reusable.update(mine)
        else:
            reusable.difference_update(mine)
    return replace(book, held=held)


def _free(
    held: Mapping[Owner, Held], resource: str, stock: Stock, reusable: Collection[str]
) -> list[str]:
    """Return the units that can be given: reusable ones first, then of the least used device.

    A device that somebody has as a whole is not given in shares, nor the other way.
    """
    taken = {one for what in held.values() for one in what.get(resource, ())}
    other = kind_of(resource) if resource.endswith(SHARED) else resource + SHARED
    blocked = {device_of(one) for what in held.values() for one in what.get(other, ())}
    usable = [one for one in stock.get(resource, ()) if not one.trouble]
    again = [one.id for one in usable if one.id in reusable]
    load = Counter(device_of(one) for one in taken)
    free = [one for one in usable if one.id not in taken and one.device not in blocked]
    # The sort is stable: among equals, the order of the stock.
    return again + [one.id for one in sorted(free, key=lambda one: load[one.device])]


# What a container's label says


def text_of(held: Held) -> str:
    """Return what a container has as one line: `example.com/gpu=a,b example.com/nic=0`."""
    return " ".join(f"{resource}={','.join(held[resource])}" for resource in sorted(held))


def held_in(text: str) -> Held:
    """Return what such a line says; nothing where it is none of ours."""
    pairs = (word.partition("=") for word in text.split())
    return {resource: tuple(ids.split(",")) for resource, mark, ids in pairs if mark and ids}


# The record


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    held: list[tuple[str, str, dict[str, tuple[str, ...]]]]
    offered: list[str]


def checkpoint(book: Book) -> bytes:
    """Return the record as JSON, the same for the same value."""
    held = [
        (*owner, {name: tuple(what[name]) for name in sorted(what)})
        for owner, what in sorted(book.held.items())
    ]
    return msgspec.json.encode(_Record(held, sorted(book.offered)))


def from_checkpoint(content: bytes) -> Book:
    """Return what `checkpoint` recorded.

    Raises: CheckpointInvalid.
    """
    try:
        record = msgspec.json.decode(content, type=_Record)
    except ValueError as error:  # msgspec's errors are ValueErrors too
        raise CheckpointInvalid(str(error)) from error
    held = {Owner(uid, container): what for uid, container, what in record.held}
    return Book(held, frozenset(record.offered))
