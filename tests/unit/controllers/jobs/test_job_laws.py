"""Laws of Jobs: each end of a pod is counted once, whatever happens, and plans come to an end."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.jobs.jobs import Jobs
from controllers.jobs.pods import index_of
from cubernetes.api.batch.indexes import indexes_in
from cubernetes.api.batch.job import COMPLETE, is_over
from cubernetes.api.condition import is_true
from cubernetes.reconcile.plan import StillView
from tests.given import NOW
from tests.unit.controllers.jobs.joblife import JobLife, counts

LIMIT = 1000  # no number of failures that these lives come to
STEPS = ("plan", "plan", "plan", "start", "succeed", "fail", "fail", "delete", "let go", "tidy")
# By how many writes a view is behind: mostly by none, or nothing would be written.
BEHIND = st.sampled_from([0, 0, 0, 0, 1, 2, 3, 4, 6, 9])
steps_lists = st.lists(
    st.tuples(st.sampled_from(STEPS), BEHIND, BEHIND, st.sampled_from([0, 0, 1, 2, 3])),
    max_size=40,
)


@st.composite
def lives(draw: st.DrawFn) -> JobLife:
    return JobLife(
        completions=draw(st.integers(1, 5)),
        parallelism=draw(st.integers(1, 4)),
        completion_mode=draw(st.sampled_from(["NonIndexed", "Indexed"])),
        pod_replacement_policy=draw(st.sampled_from(["TerminatingOrFailed", "Failed"])),
        backoff_limit=LIMIT,
    )


def take(life: JobLife, step: str, place: int) -> None:
    """Let somebody beside the planner do one step."""
    alive = [one for one in life.running() if not one.metadata.is_deleted]
    pods = life.pods()
    match step:
        case "start":
            life.start_all()
        case "succeed" if alive:
            life.finish(alive[place % len(alive)], is_success=True)
        case "fail" if alive:
            life.finish(alive[place % len(alive)], is_success=False)
            life.pass_s(3600)
        case "delete" if alive:
            pod = alive[place % len(alive)]
            life.ended[pod.metadata.uid] = False
            life.delete(pod)
        case "let go":
            life.let_go()
        case "tidy" if pods:
            # Whoever collects pods takes those whose end is noted, and no others.
            pod = pods[place % len(pods)]
            if not pod.metadata.finalizers and pod.status.phase in ("Failed", "Succeeded"):
                life.world.remove(pod.ref)
        case _:
            pass


def true_counts(life: JobLife) -> tuple[int, int]:
    values = list(life.ended.values())
    return sum(values), len(values) - sum(values)


@settings(max_examples=60, deadline=None)
@given(life=lives(), steps=steps_lists)
def test_each_pod_is_counted_once_on_any_views_and_with_plans_cut_anywhere(
    life: JobLife, steps: Sequence[tuple[str, int, int, int]]
) -> None:
    """Views of Jobs and of pods are behind, each on its own, as after a change of leaders."""
    indexes: set[int] = set()
    for step, behind, other, cut in steps:
        if step == "plan":
            life.plan(behind, other, cut or None)
        else:
            take(life, step, behind)
        noted = life.job.status.uncounted_terminated_pods
        listed = (*noted.succeeded, *noted.failed) if noted else ()
        assert len(set(listed)) == len(listed)
    life.end_well()

    assert is_true(life.job.status.conditions, COMPLETE)
    succeeded, failed = true_counts(life)
    if life.job.spec.is_indexed:
        done = indexes_in(life.job.status.completed_indexes)
        indexes = {index_of(one) for one in life.pods() if one.status.phase == "Succeeded"}
        assert done == set(range(life.job.spec.completions or 0)) >= indexes
        assert counts(life) == (len(done), failed)
    else:
        assert counts(life) == (succeeded, failed)


@settings(max_examples=25, deadline=None)
@given(life=lives(), steps=steps_lists)
def test_no_pod_is_made_or_ended_beyond_what_is_wanted(
    life: JobLife, steps: Sequence[tuple[str, int, int, int]]
) -> None:
    """Plans are cut anywhere; views show the planner's own writes, as the barrier sees to."""
    for step, place, _, cut in steps:
        if step == "plan":
            life.plan(cut=cut or None)
        else:
            take(life, step, place)
        alive = [one for one in life.running() if not one.metadata.is_deleted]
        assert len(alive) <= (life.job.spec.parallelism or 0)
    life.end_well()

    assert counts(life)[0] == life.job.spec.completions


@settings(max_examples=10, deadline=None)
@given(life=lives(), steps=steps_lists, order=st.randoms(use_true_random=False))
def test_a_plan_does_not_depend_on_the_order_of_arrival(
    life: JobLife, steps: Sequence[tuple[str, int, int, int]], order: object
) -> None:
    for step, place, _, _ in steps:
        if step == "plan":
            life.plan()
        else:
            take(life, step, place)
    objects = list(life.world.view().objects)
    order.shuffle(objects)  # type: ignore[attr-defined]

    shuffled = list(Jobs().plan(life.ref, StillView(objects), life.world.now))

    assert shuffled == list(Jobs().plan(life.ref, life.world.view(), life.world.now))


@settings(max_examples=10, deadline=None)
@given(life=lives())
def test_an_end_leaves_nothing_to_do(life: JobLife) -> None:
    life.end_well()

    assert life.world.now > NOW
    assert is_over(life.job)
    assert life.plan() == 0
    assert not any(one.metadata.finalizers for one in life.pods())
