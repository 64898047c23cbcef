"""Which waiting jobs go where now, and what each of the others waits for. Pure.

Fair share between queues, order within each, all GPUs of a job or none (gang), and backfill: where
the first that cannot go now is known to go at a certain time, what it will need is reserved, and
others pass only if they end before that or use what it does not (Lifka, "The ANL/IBM SP Scheduling
System", 1995). So no stream of small jobs keeps a large one waiting beyond its reserved time.

The same jobs, sites, queues and time give the same plan, in whatever order they come.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from typing import NamedTuple

from gpu.shares import LASTING_S

RESERVATIONS_MAX = 10
# A job that should have ended by its limit is about to: sites look at limits once in a while.
OVERDUE_S = 60.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits. `at` orders those of one priority: when it was made.

    gpus: in all, the same number on each of its nodes.
    """

    uid: str
    queue: str
    priority: int
    at: datetime
    gpus: int
    limit_s: float
    gpu_type: str = ""
    site: str = ""
    allows_stand_in: bool = False
    nodes: int = 1

    @property
    def demand(self) -> "Demand":
        return Demand(self.gpus, self.gpu_type, self.site, self.allows_stand_in, self.nodes)


class Demand(NamedTuple):
    """What a job needs of a site: jobs with the same are told the same."""

    gpus: int
    gpu_type: str
    site: str
    allows_stand_in: bool
    nodes: int

    @property
    def gpus_each(self) -> int:
        return self.gpus // self.nodes


@dataclass(frozen=True, slots=True)
class ActiveJob:
    """What a job has that is on its way to a site, or there. It ends by ends_at."""

    uid: str
    queue: str
    site: str
    devices: tuple[str, ...]
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Site:
    """devices: each with its type. trouble: why it takes no jobs now; empty where it does.

    spans_nodes: a job may run on several of its nodes; a device is called `NODE/...` then.
    """

    name: str
    devices: Mapping[str, str]
    jobs_max: int
    is_stand_in: bool = False
    trouble: str = ""
    spans_nodes: bool = False


@dataclass(frozen=True, slots=True)
class Queue:
    """usage: in GPU-seconds that decay. A limit of 0 is none."""

    name: str
    weight: int = 1
    usage: float = 0.0
    gpus_max: int = 0
    jobs_max: int = 0


class Admission(NamedTuple):
    uid: str
    site: str
    devices: tuple[str, ...]


class Wait(NamedTuple):
    """Why a job waits; starts_at is by when it goes, where that is reserved."""

    position: int
    reason: str
    starts_at: datetime | None = None


class Plan(NamedTuple):
    admissions: tuple[Admission, ...]
    waits: dict[str, Wait]


@dataclass(slots=True)
class Room:
    """What a site has left while a plan is made."""

    site: Site
    free: set[str]
    # The type that a job gets which asks for none: all its GPUs are of one.
    usual: str
    is_uniform: bool
    job_count: int = 0
    # When each device that is not free will be, and when each job ends.
    free_at: dict[str, datetime] = field(default_factory=dict)
    ends: list[datetime] = field(default_factory=list)
    reserved: frozenset[str] = frozenset()
    reserved_at: datetime | None = None

    def take(self, devices: Iterable[str], ends_at: datetime) -> None:
        for device in devices:
            self.free.discard(device)
            self.free_at[device] = ends_at
        self.job_count += 1
        self.ends.append(ends_at)


def plan(
    now: datetime,
    waiting: Iterable[Waiting],
    held: Iterable[ActiveJob],
    sites: Iterable[Site],
    queues: Iterable[Queue],
    admitted_count: int = 0,
) -> Plan:
    """Return who goes now, and why the others wait.

    admitted_count: how many jobs have been sent before: where the turn of equal sites is.
    """
    return _Planning(now, held, sites, queues, admitted_count).planned(waiting)


class _Line:
    """A queue while a plan is made: its jobs in order, and what it has."""

    def __init__(self, queue: Queue, jobs: Sequence[Waiting]) -> None:
        self.queue, self.jobs, self.index = queue, jobs, 0
        self.gpu_count = self.job_count = 0

    @property
    def rank(self) -> tuple[float, str]:
        """Return by what queues go: what they have used and will, per weight; then by name."""
        load = self.queue.usage + self.gpu_count * LASTING_S
        return load / self.queue.weight, self.queue.name

    def wall(self, job: Waiting) -> str:
        """Return why a job would take its queue over its limits; empty where it would not."""
        queue = self.queue
        if queue.gpus_max and self.gpu_count + job.gpus > queue.gpus_max:
            return f"queue {queue.name} has {self.gpu_count} of at most {queue.gpus_max} GPUs"
        if queue.jobs_max and self.job_count + 1 > queue.jobs_max:
            return f"queue {queue.name} has {self.job_count} of at most {queue.jobs_max} jobs"
        return ""


class _Planning:
    def __init__(
        self,
        now: datetime,
        held: Iterable[ActiveJob],
        sites: Iterable[Site],
        queues: Iterable[Queue],
        admitted_count: int,
    ) -> None:
        self._now, self._cursor = now, admitted_count
        ordered = sorted(sites, key=lambda one: one.name)
        self._rooms = {
            one.name: Room(
                one, set(one.devices), _usual_type(one), len(set(one.devices.values())) <= 1
            )
            for one in ordered
        }
        self._queues = {one.name: one for one in queues}
        self._held = tuple(held)
        self._reservation_count = 0
        # From which time limit on a demand was refused, and why. It stays so while a plan is made:
        # what is free only shrinks, and what lasts longer fits no better.
        self._refusals: dict[Demand, tuple[float, str]] = {}
        self._verdicts: dict[Demand, tuple[Room, ...] | str] = {}
        for one in self._held:
            if one.site in self._rooms:
                soon = now + timedelta(seconds=OVERDUE_S)
                ends_at = one.ends_at if one.ends_at > now else soon
                self._rooms[one.site].take(one.devices, ends_at)

    def planned(self, waiting: Iterable[Waiting]) -> Plan:
        lines = self._lines(waiting)
        heap = [(line.rank, line) for line in lines.values()]
        heapq.heapify(heap)
        admissions: list[Admission] = []
        waits: dict[str, Wait] = {}
        while heap:
            _, line = heapq.heappop(heap)
            job = line.jobs[line.index]
            if wall := line.wall(job):
                # Those behind it wait too: else smaller ones would keep it waiting for ever.
                for one in line.jobs[line.index :]:
                    waits[one.uid] = Wait(len(waits) + 1, wall)
                continue
            found = self._place(job)
            if isinstance(found, Admission):
                admissions.append(found)
                line.gpu_count += job.gpus
                line.job_count += 1
            else:
                waits[job.uid] = Wait(len(waits) + 1, *found)
            line.index += 1
            if line.index < len(line.jobs):
                heapq.heappush(heap, (line.rank, line))
        return Plan(tuple(admissions), waits)

    def _lines(self, waiting: Iterable[Waiting]) -> dict[str, _Line]:
        jobs: dict[str, list[Waiting]] = {}
        for one in waiting:
            jobs.setdefault(one.queue, []).append(one)
        for some in jobs.values():
            some.sort(key=lambda one: (-one.priority, one.at, one.uid))
        lines = {name: _Line(self._queues.get(name, Queue(name)), jobs[name]) for name in jobs}
        for held in self._held:
            if (line := lines.get(held.queue)) is not None:
                line.gpu_count += len(held.devices)
                line.job_count += 1
        return lines

    def _place(self, job: Waiting) -> Admission | tuple[str, datetime | None]:
        """Give a job its place, or say why not now and, where it is reserved, by when."""
        demand = job.demand
        rooms = self._rooms_for(demand)
        if isinstance(rooms, str):
            return rooms, None
        refused_from_s, why = self._refusals.get(demand, (inf, ""))
        if job.limit_s >= refused_from_s:
            return why, None
        ends_at = self._now + timedelta(seconds=job.limit_s)
        fits = [room for room in rooms if _fits(room, demand, ends_at)]
        if fits:
            room = fits[self._cursor % len(fits)]
            devices = _devices(room, demand, ends_at)
            self._cursor += 1
            room.take(devices, ends_at)
            return Admission(job.uid, room.site.name, devices)
        reason = _shortage(rooms, demand)
        starts_at = self._reserve(rooms, demand)
        if starts_at is None:
            self._refusals[demand] = job.limit_s, reason
        return reason, starts_at

    def _rooms_for(self, demand: Demand) -> tuple[Room, ...] | str:
        """Return the sites that could run a job if nothing else did, or why there are none."""
        if demand not in self._verdicts:
            asked = [room for room in self._rooms.values() if demand.site in ("", room.site.name)]
            found = tuple(room for room in asked if not _misfit(room, demand))
            self._verdicts[demand] = found or _why_none(asked, demand)
        return self._verdicts[demand]

    def _reserve(self, rooms: Sequence[Room], demand: Demand) -> datetime | None:
        """Keep what a job needs where it has it first; return when that is."""
        if self._reservation_count >= RESERVATIONS_MAX:
            return None
        offers = [
            (*_earliest(room, demand, self._now), room.site.name)
            for room in rooms
            if room.reserved_at is None
        ]
        if not offers:
            return None
        starts_at, devices, name = min(offers)
        self._rooms[name].reserved, self._rooms[name].reserved_at = frozenset(devices), starts_at
        self._reservation_count += 1
        return starts_at


def _misfit(room: Room, demand: Demand) -> str:
    """Return why a site could not run a job even if it were empty; empty where it could."""
    site = room.site
    if site.is_stand_in and not demand.allows_stand_in:
        return f"site {site.name} is a CPU stand-in, which the job does not allow (allowStandIn)"
    if site.trouble:
        return f"site {site.name} is not ready: {site.trouble}"
    count = sum(1 for _ in _of_type(site.devices, room, demand))
    if count < demand.gpus:
        kind = f" of type {demand.gpu_type}" if demand.gpu_type else ""
        return f"needs {demand.gpus} GPUs{kind}, site {site.name} has {count}"
    if demand.nodes > 1 and not site.spans_nodes:
        return f"needs {demand.nodes} nodes, and site {site.name} runs a job on one"
    if demand.nodes > 1 and (count := len(_nodes(site.devices, room, demand))) < demand.nodes:
        return f"{_needs_nodes(demand)}, site {site.name} has {count} such nodes"
    return ""


def _needs_nodes(demand: Demand) -> str:
    kind = f" of type {demand.gpu_type}" if demand.gpu_type else ""
    return f"needs {demand.gpus_each} GPUs{kind} on each of {demand.nodes} nodes"


def _nodes(devices: Iterable[str], room: Room, demand: Demand) -> dict[str, list[str]]:
    """Return those of some devices that a demand takes, by the nodes that have enough of them."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for one in _of_type(devices, room, demand):
        found[one.rpartition("/")[0]].append(one)
    return {node: some for node, some in found.items() if len(some) >= demand.gpus_each}


def _why_none(rooms: Sequence[Room], demand: Demand) -> str:
    if not rooms:
        return f"there is no site {demand.site}" if demand.site else "there is no site"
    told = [_misfit(room, demand) for room in rooms[:3]]
    more = f"; and {len(rooms) - 3} more sites" if len(rooms) > 3 else ""
    return "; ".join(told) + more


def _of_type(devices: Iterable[str], room: Room, demand: Demand) -> Iterator[str]:
    """Yield those of some devices that a demand takes: of its type, else of the most usual one."""
    wanted, types = demand.gpu_type or room.usual, room.site.devices
    return (one for one in devices if types[one] == wanted)


def _usual_type(site: Site) -> str:
    types = sorted(site.devices.values())
    return max(types, key=types.count, default="")


def _offered(room: Room, ends_at: datetime) -> Set[str]:
    """Return the devices of a site that a job may have now which ends by ends_at."""
    site, reserved_at = room.site, room.reserved_at
    if room.job_count >= site.jobs_max:
        return frozenset()
    if reserved_at is None or ends_at <= reserved_at:
        return room.free
    still_there = sum(1 for one in room.ends if one > reserved_at)
    return room.free - room.reserved if still_there + 2 <= site.jobs_max else frozenset()


def _fits(room: Room, demand: Demand, ends_at: datetime) -> bool:
    if len(room.free) < demand.gpus:
        return False
    offered = _offered(room, ends_at)
    if demand.nodes > 1:
        return len(_nodes(offered, room, demand)) >= demand.nodes
    if not room.is_uniform:
        return sum(1 for _ in _of_type(offered, room, demand)) >= demand.gpus
    return len(offered) >= demand.gpus


def _devices(room: Room, demand: Demand, ends_at: datetime) -> tuple[str, ...]:
    """Return the devices for a job that fits: those that are reserved last."""

    def chosen(devices: Iterable[str], count: int) -> list[str]:
        return sorted(devices, key=lambda one: (one in room.reserved, one))[:count]

    offered = _offered(room, ends_at)
    if demand.nodes == 1:
        return tuple(sorted(chosen(_of_type(offered, room, demand), demand.gpus)))
    by_node = _nodes(offered, room, demand)
    some = [chosen(by_node[one], demand.gpus_each) for one in sorted(by_node)]
    some.sort(key=lambda devices: sum(1 for one in devices if one in room.reserved))
    return tuple(sorted(one for devices in some[: demand.nodes] for one in devices))


def _earliest(room: Room, demand: Demand, now: datetime) -> tuple[datetime, tuple[str, ...]]:
    """Return when a site can run a job, if everything ends by its limit, and on which devices."""
    site = room.site
    ordered = _first_free(_of_type(site.devices, room, demand), demand.gpus, room, now)
    if demand.nodes > 1:
        by_node = _nodes(site.devices, room, demand)
        some = [_first_free(by_node[one], demand.gpus_each, room, now) for one in by_node]
        some.sort(key=lambda times: times[-1])
        ordered = sorted(one for times in some[: demand.nodes] for one in times)
    starts_at = ordered[-1][0]
    if room.job_count >= site.jobs_max:
        # And one of the jobs that are there has to be gone.
        over = room.job_count - site.jobs_max
        starts_at = max(starts_at, sorted(room.ends)[over])
    return starts_at, tuple(one for _, one in ordered)


def _first_free(
    devices: Iterable[str], count: int, room: Room, now: datetime
) -> list[tuple[datetime, str]]:
    """Return those that are free first, each with when, in that order."""
    return sorted((room.free_at.get(one, now), one) for one in devices)[:count]


def _shortage(rooms: Sequence[Room], demand: Demand) -> str:
    """Return what a job waits for at the site that is nearest to having it."""
    counts = {room.site.name: sum(1 for _ in _of_type(room.free, room, demand)) for room in rooms}
    name = max(sorted(counts), key=lambda one: counts[one])
    if demand.nodes > 1:
        nodes = max(len(_nodes(room.free, room, demand)) for room in rooms)
        if nodes < demand.nodes:
            return f"{_needs_nodes(demand)}, {nodes} are free at most at one site"
    needed = f"needs {demand.gpus} GPUs" if demand.gpus > 1 else "needs a GPU"
    if counts[name] >= demand.gpus:
        return f"{needed}, and those of site {name} are kept for jobs before it"
    return f"{needed}, site {name} has {counts[name]} free"
