"""Which offsets may be committed: never one before which something is open."""

from hypothesis import given
from hypothesis import strategies as st

from serverless.bus.offsets import Offsets


@given(st.data())
def test_a_commit_never_passes_what_is_open_and_all_is_committed_in_the_end(
    data: st.DataObject,
) -> None:
    gaps = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=30))
    offsets = [sum(gaps[: index + 1]) for index in range(len(gaps))]
    one, waiting = Offsets(next_offset=0, committed=0), list(offsets)
    ended: set[int] = set()
    while waiting or one.open:
        may_end = sorted(one.open)
        if waiting and (not may_end or data.draw(st.booleans())):
            assert one.begin(waiting.pop(0))
        else:
            offset = data.draw(st.sampled_from(may_end))
            one.done(offset)
            ended.add(offset)
        wanted = one.to_commit()
        committed = one.committed if wanted is None else wanted
        assert committed is not None
        assert {at for at in offsets if at < committed} <= ended
        one.committed = committed
    assert one.committed == offsets[-1] + 1
    assert one.to_commit() is None


def test_what_was_read_is_not_begun_twice() -> None:
    one = Offsets()
    assert one.begin(7)
    assert not one.begin(7)
    assert not one.begin(3)
    one.done(7)
    assert not one.begin(7)
    assert one.to_commit() == 8


def test_nothing_is_committed_before_anything_was_read() -> None:
    assert Offsets().to_commit() is None
