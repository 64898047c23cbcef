"""Which commits may share one transaction."""

from hypothesis import given
from hypothesis import strategies as st

from apiserver.storage.batch import (
    BATCH_BYTES_MAX,
    BATCH_STEPS_MAX,
    Proposal,
    batches_of,
    joined,
)
from apiserver.storage.limits import check_transaction, request_bytes
from apiserver.storage.store import Compare, Delete, Put


def a_put(key: str, size_bytes: int = 1) -> Proposal:
    return Proposal((Compare(key, 0),), (Put(key, bytes(size_bytes)),))


def test_commits_for_different_keys_share_a_transaction() -> None:
    assert batches_of([a_put("a"), a_put("b"), a_put("c")]) == [[0, 1, 2]]


def test_two_commits_for_one_key_are_kept_apart() -> None:
    assert batches_of([a_put("a"), a_put("b"), a_put("a"), a_put("c")]) == [[0, 1], [2, 3]]


def test_who_compares_a_key_does_not_share_with_who_writes_it() -> None:
    reads_a = Proposal((Compare("a", 3),), (Put("b", b""),))
    deletes_a = Proposal((), (Delete("a"),))

    assert batches_of([reads_a, deletes_a]) == [[0], [1]]
    assert batches_of([deletes_a, reads_a]) == [[0], [1]]


def test_two_that_only_compare_the_same_key_may_share() -> None:
    epoch = Compare("epoch", 7)
    both = [Proposal((epoch,), (Put("a", b""),)), Proposal((epoch,), (Put("b", b""),))]

    assert batches_of(both) == [[0, 1]]


def test_one_that_is_too_large_for_company_goes_alone() -> None:
    large = a_put("large", BATCH_BYTES_MAX + 1)

    assert batches_of([a_put("a"), large, a_put("b"), a_put("c")]) == [[0], [1], [2, 3]]


keys = st.sampled_from([f"k{number}" for number in range(12)])
proposals = st.lists(
    st.builds(
        Proposal,
        st.lists(st.builds(Compare, keys, st.integers(0, 3)), max_size=40).map(tuple),
        st.lists(
            st.one_of(
                st.builds(Delete, keys),
                st.builds(Put, keys, st.booleans().map(lambda large: bytes(200_000 * large))),
            ),
            max_size=3,
            unique_by=lambda op: op.key,
        ).map(tuple),
    ),
    max_size=20,
)


@given(proposals)
def test_everyone_is_in_exactly_one_group_and_in_order(waiting: list[Proposal]) -> None:
    groups = batches_of(waiting)

    assert [place for group in groups for place in group] == list(range(len(waiting)))
    assert all(groups)


@given(proposals)
def test_a_shared_transaction_is_one_that_etcd_takes(waiting: list[Proposal]) -> None:
    for group in batches_of(waiting):
        together = joined([waiting[place] for place in group])
        check_transaction(together.compares, together.ops)
        if len(group) > 1:
            assert together.step_count <= BATCH_STEPS_MAX
            assert request_bytes(together.compares, together.ops) <= BATCH_BYTES_MAX


@given(proposals)
def test_nobody_in_a_group_writes_what_another_reads_or_writes(waiting: list[Proposal]) -> None:
    for group in batches_of(waiting):
        for one in group:
            written = {op.key for op in waiting[one].ops}
            for other in set(group) - {one}:
                touched = [*waiting[other].compares, *waiting[other].ops]
                assert written.isdisjoint(step.key for step in touched)
