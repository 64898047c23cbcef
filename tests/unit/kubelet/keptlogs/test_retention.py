"""Which logs stay when their containers go, and which of them is meant."""

from collections import Counter
from dataclasses import replace as changed
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.meta import replaced
from kubelet.keptlogs.ledger import Ledger
from kubelet.keptlogs.retention import (
    AGE_MAX_S,
    COUNT_MAX,
    LIVES_MAX,
    Kept,
    Life,
    chosen,
    life_at,
    life_of,
    surplus,
)
from kubelet.runtime.driver import Container, State
from tests.given import a_container, a_pod

NOW_S = 1_800_000_000.0
FOUND = Container("c1", "u1", "web-0", "default", "main", 4, State.EXITED, "x", "x")

LIVES = st.builds(
    Life,
    namespace=st.sampled_from(("default", "x")),
    pod=st.sampled_from(("web-0", "a.b")),
    made_at=st.integers(0, 10),
    uid=st.sampled_from(("u1", "u2")),
    container=st.sampled_from(("main", "side")),
    attempt=st.integers(0, 6),
)
KEPT = st.lists(
    st.builds(Kept, LIVES, st.floats(NOW_S - 2 * AGE_MAX_S, NOW_S + 60), st.integers(0, 50)),
    max_size=40,
    unique_by=lambda one: one.life,
)

# An attempt of a container is of one pod, and is one life.
OF_ONE_POD = st.lists(
    st.builds(
        lambda life, *how: Kept(Life("default", "web-0", 7, *life), *how),
        st.tuples(st.sampled_from(("u1", "u2")), st.just("main"), st.integers(0, 9)),
        st.floats(NOW_S - 2 * AGE_MAX_S, NOW_S + 60),
        st.integers(0, 50),
    ),
    max_size=20,
    unique_by=lambda one: one.life,
)


def of(attempt: int, kept_at_s: float = NOW_S, size: int = 1, uid: str = "u1") -> Kept:
    return Kept(Life("default", "web-0", 7, uid, "main", attempt), kept_at_s, size)


@given(LIVES, st.booleans())
def test_a_path_says_whose_log_lies_there(life: Life, is_default: bool) -> None:
    told = life._replace(is_default=is_default)
    assert life_at(told.path) == told


@pytest.mark.parametrize(
    "path",
    [
        "", "default", "default/web-0/7.u1/main", "../web-0/7.u1/main/0", "default/../7.u1/main/0",
        "default/web-0/u1/main/0", "default/web-0/7./main/0", "default/web-0/07.u1/main/0",
        "default/web-0/7.u1/main/x", "default/web-0/7.u1/main/01", "default/web-0/7.u1/../0",
        "default/web-0/7.u1/main/0.", "default/web-0/7.u1/main/0.other",
        "default/web-0/7.u1/main/0/1", "Default/web-0/7.u1/main/0", "default/web-0/7../main/0",
    ],
)  # fmt: skip
def test_what_else_lies_there_is_nobodys_log(path: str) -> None:
    assert life_at(path) is None


def test_a_log_is_of_the_pod_as_the_api_made_it_also_where_that_is_forgotten() -> None:
    pod, made = a_pod("web-0"), datetime(2026, 3, 1, tzinfo=UTC)
    found, told = changed(FOUND, created_at=made), pod.metadata.creation_timestamp
    assert told is not None
    assert life_of(found, pod).made_at == int(told.timestamp())
    assert life_of(found, None) == Life("default", "web-0", int(made.timestamp()), "u1", "main", 4)
    assert life_of(FOUND, None).made_at == 0


def test_the_container_that_a_pod_means_without_a_name_is_told_by_the_path() -> None:
    def is_default(note: str, name: str, *containers: str) -> bool:
        notes = {"kubectl.kubernetes.io/default-container": note} if note else {}
        pod = a_pod("web-0", containers=[a_container(one) for one in containers])
        noted = replaced(pod, metadata=replaced(pod.metadata, annotations=notes))
        return life_of(changed(FOUND, name=name), noted).is_default

    assert is_default("", "main", "main", "side")
    assert not is_default("", "side", "main", "side")
    assert is_default("side", "side", "main", "side")
    assert not is_default("side", "main", "main", "side")
    assert is_default("gone", "main", "main", "side")
    assert not is_default("", "first", "main", "side")


@given(KEPT, st.integers(0, 400))
def test_what_stays_has_room_and_once_more_nothing_goes(kept: list[Kept], bytes_max: int) -> None:
    gone = set(surplus(kept, NOW_S, bytes_max))
    stays = [one for one in kept if one.life not in gone]

    assert sum(one.size_bytes for one in stays) <= bytes_max
    assert all(NOW_S - one.kept_at_s <= AGE_MAX_S for one in stays)
    counts = Counter((one.life.uid, one.life.container) for one in stays)
    assert all(count <= LIVES_MAX for count in counts.values())
    assert surplus(stays, NOW_S, bytes_max) == []


def test_of_a_container_the_last_lives_stay_in_whatever_order_they_came() -> None:
    kept = [of(attempt, NOW_S - attempt) for attempt in range(6)]
    assert sorted(one.attempt for one in surplus(kept, NOW_S, 100)) == [0, 1, 2]
    others = [of(attempt, uid="u2") for attempt in range(3)]
    assert surplus([*others, *kept[3:]], NOW_S, 100) == []


def test_where_room_is_short_the_newest_stay() -> None:
    kept = [of(0, NOW_S - 3, 40, "u1"), of(0, NOW_S - 2, 40, "u2"), of(0, NOW_S - 1, 40, "u3")]
    assert [one.uid for one in surplus(kept, NOW_S, 80)] == ["u1"]
    assert surplus(kept, NOW_S, 120) == []
    assert len(surplus(kept, NOW_S, 0)) == 3


def test_what_is_too_old_goes() -> None:
    kept = [of(0, NOW_S - AGE_MAX_S - 1, 1, "u1"), of(0, NOW_S - AGE_MAX_S + 1, 1, "u2")]
    assert [one.uid for one in surplus(kept, NOW_S, 100)] == ["u1"]


@given(OF_ONE_POD, OF_ONE_POD, st.integers(0, 400))
def test_what_is_remembered_tells_of_each_one_more_what_a_look_through_all_would(
    found: list[Kept], more: list[Kept], bytes_max: int
) -> None:
    ledger, model = Ledger(found, bytes_max), {one.life: one for one in found}
    for index, one in enumerate(sorted(more, key=lambda one: one.kept_at_s)):
        now_s = NOW_S + index * AGE_MAX_S / 20
        kept = one._replace(kept_at_s=now_s)
        model[kept.life] = kept
        gone = surplus(model.values(), now_s, bytes_max)
        assert ledger.surplus_with(kept, now_s) == gone
        model = {life: each for life, each in model.items() if life not in gone}


def test_all_are_looked_through_only_where_a_limit_is_passed() -> None:
    looks = 0

    class Looked(Ledger):
        def _all(self) -> list[Kept]:
            nonlocal looks
            looks += 1
            return super()._all()

    ledger = Looked([of(0, NOW_S - 5, uid=f"u{index}") for index in range(50)], 1000)
    for attempt in range(LIVES_MAX):
        assert ledger.surplus_with(of(attempt), NOW_S) == []
    assert looks == 1
    assert [one.attempt for one in ledger.surplus_with(of(LIVES_MAX), NOW_S)] == [0]
    assert looks == 2


def test_there_are_never_more_than_are_looked_through_in_a_moment() -> None:
    kept = [of(0, NOW_S - index, 0, f"u{index}") for index in range(COUNT_MAX + 2)]
    gone = {one.uid for one in surplus(kept, NOW_S, 100)}
    assert gone == {f"u{COUNT_MAX}", f"u{COUNT_MAX + 1}"}


def test_lives_are_counted_back_from_the_newest_wherever_their_logs_are() -> None:
    found = [changed(FOUND, attempt=attempt) for attempt in (3, 4)]
    # One that was kept, and whose container could not be removed yet, is one life.
    kept = [of(attempt) for attempt in (1, 2, 3)]

    assert chosen(found, kept, 0) == found[1]
    assert chosen(found, kept, 1) == found[0]
    assert chosen(found, kept, 2) == kept[1].life
    assert chosen(found, kept, 3) == kept[0].life
    assert chosen(found, kept, 4) is None
    assert chosen([], kept, 0) == kept[2].life
    assert chosen([], [], 0) is None
