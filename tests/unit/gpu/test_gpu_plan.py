"""The planner of the queues: laws first."""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu.plan import ActiveJob, Admission, Plan, Queue, Site, Waiting, plan
from gpu.shares import Span, usage
from tests.unit.gpu.gpuworld import NOW, after, held, queue, site, waiting

jobs_given = st.lists(
    st.builds(
        lambda uid, gpus, nodes, at_s, limit_s, name, priority: waiting(
            f"j{uid}",
            gpus * nodes,
            nodes=nodes,
            at_s=at_s,
            limit_s=limit_s,
            queue=name,
            priority=priority,
        ),
        st.integers(0, 10**6),
        st.integers(1, 5),
        st.sampled_from([1, 1, 2, 3]),
        st.integers(0, 50),
        st.sampled_from([10.0, 60.0, 600.0]),
        st.sampled_from(["default", "physics"]),
        st.integers(-1, 1),
    ),
    max_size=25,
    unique_by=lambda one: one.uid,
)
sites_given = st.lists(
    st.builds(
        lambda name, gpus, nodes, jobs_max: site(
            name, gpus, nodes=nodes, jobs_max=jobs_max, spans_nodes=True
        ),
        st.sampled_from("abcde"),
        st.integers(0, 5),
        st.integers(1, 3),
        st.integers(1, 6),
    ),
    max_size=4,
    unique_by=lambda one: one.name,
)
QUEUES = (queue("default", gpus_max=6), queue("physics", weight=3, jobs_max=4))


@dataclass
class World:
    """Plans are carried out, jobs end at their time, and the use of queues is kept."""

    sites: tuple[Site, ...]
    queues: dict[str, Queue] = field(default_factory=dict)
    now: datetime = NOW
    waiting: dict[str, Waiting] = field(default_factory=dict)
    running: dict[str, tuple[Waiting, Admission, datetime, datetime]] = field(default_factory=dict)
    spans: dict[str, list[Span]] = field(default_factory=dict)
    started: dict[str, datetime] = field(default_factory=dict)
    admitted_count: int = 0

    def held(self) -> list[ActiveJob]:
        return [
            ActiveJob(
                job.uid, job.queue, one.site, one.devices, began + timedelta(seconds=job.limit_s)
            )
            for job, one, began, _ in self.running.values()
        ]

    def plan(self) -> Plan:
        queues = [
            Queue(one.name, one.weight, self.used(one.name), one.gpus_max, one.jobs_max)
            for one in self.queues.values()
        ]
        return plan(
            self.now, self.waiting.values(), self.held(), self.sites, queues, self.admitted_count
        )

    def used(self, name: str) -> float:
        running = [
            Span(job.gpus, began) for job, _, began, _ in self.running.values() if job.queue == name
        ]
        return usage(0.0, NOW, [*self.spans.get(name, []), *running], self.now)

    def turn(self, run_s: dict[str, float] | None = None) -> Plan:
        """Carry a plan out; jobs run for as long as run_s says, else to their limits."""
        made = self.plan()
        for one in made.admissions:
            job = self.waiting.pop(one.uid)
            ends_at = self.now + timedelta(seconds=(run_s or {}).get(job.uid, job.limit_s))
            self.running[job.uid] = (job, one, self.now, ends_at)
            self.started[job.uid] = self.now
            self.admitted_count += 1
        self.check()
        return made

    def pass_time(self, until: datetime) -> None:
        """Let time pass up to a moment, or to the next end before it."""
        ends = [ends_at for *_, ends_at in self.running.values()]
        self.now = min([until, *ends])
        for uid, (job, _, began, ends_at) in list(self.running.items()):
            if ends_at <= self.now:
                del self.running[uid]
                self.spans.setdefault(job.queue, []).append(Span(job.gpus, began, ends_at))

    def check(self) -> None:
        """No device is given twice, nor one that is not there; a site has no more than it takes."""
        given_out = Counter(
            (one.site, device) for _, one, *_ in self.running.values() for device in one.devices
        )
        assert all(count == 1 for count in given_out.values()), given_out
        there = {(one.name, device) for one in self.sites for device in one.devices}
        assert set(given_out) <= there
        at_sites = Counter(one.site for _, one, *_ in self.running.values())
        assert all(at_sites[one.name] <= one.jobs_max for one in self.sites)
        for job, one, *_ in self.running.values():
            assert len(one.devices) == job.gpus
            by_node = Counter(device.partition("/")[0] for device in one.devices)
            each = job.gpus // job.nodes
            assert job.nodes == 1 or list(by_node.values()) == [each] * job.nodes


@given(jobs_given, sites_given)
def test_no_device_is_given_twice_and_a_job_has_all_or_none(
    jobs: list[Waiting], sites: list[Site]
) -> None:
    world = World(tuple(sites), {one.name: one for one in QUEUES})
    world.waiting = {one.uid: one for one in jobs}
    for _ in range(len(jobs) + 1):
        made = world.turn()
        assert {one.uid for one in made.admissions} | set(made.waits) == set(world.waiting) | {
            one.uid for one in made.admissions
        }
        gpus, count = Counter[str](), Counter[str]()
        for job, *_ in world.running.values():
            gpus[job.queue] += job.gpus
            count[job.queue] += 1
        assert gpus["default"] <= 6
        assert count["physics"] <= 4
        world.pass_time(after(10**6))


def test_a_job_on_several_nodes_is_told_what_it_lacks_on_each() -> None:
    def reason(job: Waiting, *sites: Site) -> str:
        return plan(NOW, [job], [], sites, []).waits[job.uid].reason

    job = waiting("wide", 4, nodes=2)
    assert reason(job, site("a", 4, nodes=1, spans_nodes=True)).endswith(
        "needs 2 GPUs on each of 2 nodes, site a has 1 such nodes"
    )
    assert reason(job, site("a", 2, nodes=2)) == "needs 2 nodes, and site a runs a job on one"
    wide = site("a", 3, nodes=2, spans_nodes=True)
    busy = [held("held", ("n0/gpu-0", "n0/gpu-1"), 100.0)]
    (wait,) = plan(NOW, [job], busy, [wide], []).waits.values()
    assert wait.reason == "needs 2 GPUs on each of 2 nodes, 1 are free at most at one site"
    assert wait.starts_at == after(100)


def test_a_job_on_several_nodes_takes_the_nodes_that_are_reserved_for_nobody() -> None:
    wide = site("a", 1, nodes=4, spans_nodes=True)
    busy = [held("held", ("n3/gpu-0",), 1000.0), held("more", ("n2/gpu-0",), 100.0)]
    jobs = [waiting("big", 3, nodes=3, priority=1), waiting("one", limit_s=5000.0)]
    made = plan(NOW, jobs, busy, [wide], [])
    assert made.admissions == ()
    assert made.waits["big"].starts_at == after(100)
    jobs = [jobs[0], waiting("short", 2, nodes=2, limit_s=50.0)]
    assert plan(NOW, jobs, busy, [wide], []).admissions[0].devices == ("n0/gpu-0", "n1/gpu-0")


@given(jobs_given, sites_given)
def test_turns_come_to_an_end_where_everybody_runs_or_is_told_why(
    jobs: list[Waiting], sites: list[Site]
) -> None:
    """One may be followed by another: who waits is given its place among all who went."""
    world = World(tuple(sites), {one.name: one for one in QUEUES})
    world.waiting = {one.uid: one for one in jobs}
    for _ in jobs:
        if not world.plan().admissions:
            break
        world.turn()
    again = world.plan()
    assert again.admissions == ()
    assert set(again.waits) == set(world.waiting)


@given(jobs_given, sites_given, st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(
    jobs: list[Waiting], sites: list[Site], chance: random.Random
) -> None:
    first = plan(NOW, jobs, [], sites, QUEUES)
    mixed_jobs, mixed_sites, mixed_queues = list(jobs), list(sites), list(QUEUES)
    for one in (mixed_jobs, mixed_sites, mixed_queues):
        chance.shuffle(one)
    assert plan(NOW, mixed_jobs, [], mixed_sites, mixed_queues) == first


@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(1, 3))
@settings(deadline=None, max_examples=20)
def test_no_stream_of_small_jobs_keeps_a_large_one_beyond_its_reserved_time(
    seed: int, gpus: int, site_count: int
) -> None:
    chance = random.Random(seed)
    world = World(tuple(site(f"s{index}", gpus) for index in range(site_count)))
    run_s: dict[str, float] = {}
    promised: datetime | None = None

    def small(index: int) -> None:
        limit_s = chance.choice([5.0, 20.0, 100.0])
        job = waiting(f"small-{index}", limit_s=limit_s, at_s=(world.now - NOW).total_seconds())
        world.waiting[job.uid] = job
        run_s[job.uid] = chance.uniform(0.1, 1.0) * limit_s

    for index in range(3 * gpus * site_count):
        small(index)
    world.turn(run_s)
    # Behind those that were there before, and before all that come from now on.
    big = waiting("big", gpus, at_s=0.5, priority=1)
    world.waiting["big"] = big
    for index in range(1000, 1120):
        made = world.turn(run_s)
        if "big" in world.started:
            break
        told = made.waits["big"].starts_at
        assert told is not None
        assert promised is None or told <= promised
        promised = told
        small(index)
        world.pass_time(world.now + timedelta(seconds=2))
    assert "big" in world.started
    assert promised is None or world.started["big"] <= promised


def test_shares_converge_to_the_weights() -> None:
    world = World((site("a", 4),), {"x": queue("x", weight=3), "y": queue("y", weight=1)})
    for index in range(300):
        for name in ("x", "y"):
            one = waiting(f"{name}{index:03}", queue=name, at_s=index, limit_s=60.0 + index % 7)
            world.waiting[one.uid] = one
    while len(world.waiting) > 300:
        world.turn()
        world.pass_time(after(10**6))
    used = {
        name: sum(
            gpus * (until - since).total_seconds()
            for gpus, since, until in spans
            if until is not None
        )
        for name, spans in world.spans.items()
    }
    assert used["x"] / used["y"] == pytest.approx(3, rel=0.05)


def test_a_queue_that_used_nothing_goes_before_one_that_did() -> None:
    jobs = [waiting("old", queue="x"), waiting("new", queue="y", at_s=5)]
    made = plan(NOW, jobs, [], [site("a", 1)], [queue("x", usage=100.0), queue("y")])
    assert [one.uid for one in made.admissions] == ["new"]


def test_within_a_queue_priority_goes_before_age_and_age_before_names() -> None:
    jobs = [
        waiting("b", at_s=1),
        waiting("a", at_s=1),
        waiting("late", at_s=9, priority=5),
        waiting("first", at_s=0),
    ]
    made = plan(NOW, jobs, [], [site("s", 1)], [queue()])
    assert [one.uid for one in made.admissions] == ["late"]
    positions = sorted((wait.position, uid) for uid, wait in made.waits.items())
    assert positions == [(1, "first"), (2, "a"), (3, "b")]


def test_equal_sites_take_turns_and_a_restart_does_not_begin_anew() -> None:
    sites = [site("a", 9), site("b", 9), site("c", 9)]
    whole = plan(
        NOW, [waiting(f"j{index}", at_s=index) for index in range(4)], [], sites, [queue()]
    )
    assert [one.site for one in whole.admissions] == ["a", "b", "c", "a"]
    later = plan(NOW, [waiting("j9")], [], sites, [queue()], admitted_count=4)
    assert [one.site for one in later.admissions] == ["b"]


def test_small_jobs_pass_if_they_end_in_time_or_use_what_is_not_reserved() -> None:
    running = [held("r", ("gpu-0",), 100)]
    jobs = [
        waiting("big", 2, at_s=0),
        waiting("long", at_s=1, limit_s=101),
        waiting("short", at_s=2, limit_s=100),
    ]
    made = plan(NOW, jobs, running, [site("a", 2)], [queue()])
    assert [one.uid for one in made.admissions] == ["short"]
    assert made.waits["big"].starts_at == after(100)
    assert "kept for jobs before it" in made.waits["long"].reason
    wider = plan(NOW, jobs[1:], running, [site("a", 3)], [queue()])
    assert {one.uid for one in wider.admissions} == {"long", "short"}


def test_a_job_that_no_site_can_ever_run_holds_up_nobody_and_is_told_why() -> None:
    jobs = [waiting("huge", 9), waiting("typed", gpu_type="b200"), waiting("ok", at_s=9)]
    made = plan(NOW, jobs, [], [site("a", 2)], [queue()])
    assert [one.uid for one in made.admissions] == ["ok"]
    assert made.waits["huge"].reason == "needs 9 GPUs, site a has 2"
    assert made.waits["typed"].reason == "needs 1 GPUs of type b200, site a has 0"


def test_a_job_falls_back_to_no_stand_in_unasked() -> None:
    sites = [site("cpu", 2, is_stand_in=True)]
    made = plan(NOW, [waiting("real"), waiting("any", allows_stand_in=True)], [], sites, [queue()])
    assert [one.uid for one in made.admissions] == ["any"]
    assert "CPU stand-in" in made.waits["real"].reason
    named = plan(NOW, [waiting("real", site="cpu")], [], sites, [queue()])
    assert named.admissions == ()


def test_a_site_that_does_not_answer_is_sent_nothing() -> None:
    made = plan(NOW, [waiting("j")], [], [site("a", trouble="no route")], [queue()])
    assert made.admissions == ()
    assert made.waits["j"].reason == "site a is not ready: no route"
    none = plan(NOW, [waiting("j", site="b")], [], [site("a")], [queue()])
    assert none.waits["j"].reason == "there is no site b"


def test_what_waits_before_a_wall_is_passed_by_no_smaller_job_of_its_queue() -> None:
    jobs = [waiting("two", 2), waiting("one", 1, at_s=1), waiting("other", queue="y", at_s=2)]
    queues = [queue(gpus_max=2), queue("y")]
    made = plan(NOW, jobs, [held("r", ("gpu-0",), 50)], [site("a", 4)], queues)
    assert [one.uid for one in made.admissions] == ["other"]
    assert made.waits["one"].reason == "queue default has 1 of at most 2 GPUs"


def test_the_gpus_of_a_job_are_of_one_type() -> None:
    mixed = Site("a", {"g0": "h200", "g1": "b200", "g2": "h200"}, jobs_max=9)
    made = plan(NOW, [waiting("j", 2)], [], [mixed], [queue()])
    assert made.admissions == (Admission("j", "a", ("g0", "g2")),)


def test_a_site_whose_places_are_taken_is_reserved_for_when_one_is_free() -> None:
    running = [held("r", ("gpu-0",), 30), held("s", ("gpu-1",), 50)]
    made = plan(NOW, [waiting("j")], running, [site("a", 4, jobs_max=2)], [queue()])
    assert made.admissions == ()
    assert made.waits["j"].starts_at == after(30)


def test_ten_thousand_jobs_over_a_hundred_sites_are_planned_whole() -> None:
    jobs = [
        waiting(f"j{index}", index % 8 + 1, at_s=index, queue=f"q{index % 5}", limit_s=60 + index)
        for index in range(10_000)
    ]
    made = plan(NOW, jobs, [], [site(f"s{index}", 8) for index in range(100)], [])
    assert len(made.admissions) + len(made.waits) == 10_000
    assert sorted(wait.position for wait in made.waits.values()) == list(
        range(1, len(made.waits) + 1)
    )
