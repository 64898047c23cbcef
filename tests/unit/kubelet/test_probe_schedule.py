"""When probes are due: one heap that replaces and forgets."""

from hypothesis import given
from hypothesis import strategies as st

from kubelet.probes.schedule import Schedule

changes = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.one_of(st.none(), st.integers(0, 20))), max_size=60
)


def made(told: list[tuple[str, int | None]]) -> tuple[Schedule[str], dict[str, int]]:
    schedule: Schedule[str] = Schedule()
    wanted: dict[str, int] = {}
    for key, due_at_s in told:
        if due_at_s is None:
            schedule.drop(key)
            wanted.pop(key, None)
        else:
            schedule.put(key, due_at_s)
            wanted[key] = due_at_s
    return schedule, wanted


@given(changes, st.integers(0, 20))
def test_what_is_due_is_what_was_put_last_and_not_dropped(
    told: list[tuple[str, int | None]], now_s: int
) -> None:
    schedule, wanted = made(told)
    due = {key for key, at_s in wanted.items() if at_s <= now_s}

    assert schedule.next_at_s() == min(wanted.values(), default=None)
    taken = schedule.take_due(now_s)
    assert set(taken) == due
    assert len(taken) == len(due)
    assert [wanted[key] for key in taken] == sorted(wanted[key] for key in taken)
    assert {key for key in wanted if key in schedule} == wanted.keys() - due


@given(changes)
def test_what_was_taken_is_due_no_more(told: list[tuple[str, int | None]]) -> None:
    schedule, _ = made(told)
    schedule.take_due(100)

    assert schedule.next_at_s() is None
    assert schedule.take_due(100) == []


def test_entries_that_mean_nothing_any_more_do_not_pile_up() -> None:
    schedule: Schedule[int] = Schedule()
    for key in range(10_000):
        schedule.put(key, 1e9)
        schedule.drop(key)
        schedule.put(-1, float(key))

    assert len(schedule) < 100
    assert schedule.next_at_s() == 9_999.0
