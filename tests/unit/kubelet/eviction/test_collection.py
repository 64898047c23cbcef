"""Which images leave a disk that fills up: never one in use, and those used longest ago first."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelet.eviction.collection import (
    AGE_MIN_S,
    Seen,
    bytes_over,
    collection_of,
    has_one_name,
    seen_after,
)
from kubelet.eviction.room import Share
from kubelet.runtime.driver import LocalImage

LATER = AGE_MIN_S + 1


def an_image(name: str, size: int = 10) -> LocalImage:
    return LocalImage((f"{name}:1",), size, name)


@pytest.mark.parametrize(
    ("share", "wanted"),
    [
        (Share(16, 100), 0),
        (Share(15, 100), 5),
        (Share(0, 100), 20),
        (Share(0, 0), 0),
    ],
)
def test_a_disk_over_its_high_mark_is_to_come_down_to_its_low_one(
    share: Share, wanted: int
) -> None:
    assert bytes_over(share) == wanted


def test_what_was_used_longest_ago_goes_first_and_no_more_than_is_needed() -> None:
    images = [an_image(name) for name in ("new", "never", "old")]
    seen = {"new": Seen(0.0, 90.0), "old": Seen(0.0, 10.0), "never": Seen(0.0)}
    plan = collection_of(images, {"new", "never", "old"}, set(), seen, 15, LATER)
    assert [one.id for one in plan.take] == ["never", "old"]
    assert [one.id for one in plan.spare] == ["new"]
    assert plan.kept == {}


def test_each_image_that_stays_is_told_with_its_reason() -> None:
    tagged = LocalImage(("tagged:1", "tagged:2"), 10, "tagged")
    images = [an_image("used"), an_image("loaded"), an_image("fresh"), tagged]
    seen = {one.id: Seen(0.0) for one in images} | {"fresh": Seen(2.0)}
    plan = collection_of(images, {"used", "fresh", "tagged"}, {"used"}, seen, 1000, LATER)
    assert plan.take == ()
    assert plan.kept == {
        "used": "in use",
        "loaded": "was not pulled by this kubelet",
        "fresh": "came a moment ago",
        "tagged": "has several names",
    }


@pytest.mark.parametrize(
    ("names", "is_one"),
    [
        (("host:5000/a:1",), True),
        (("host:5000/a:1", "host:5000/a@sha256:0", "host:5000/a@sha256:1"), True),
        (("a@sha256:0",), True),
        (("a:1", "a:2"), False),
        (("a:1", "b@sha256:0"), False),
        (("a@sha256:0", "b@sha256:0"), False),
    ],
)
def test_an_image_with_one_tag_and_its_digests_has_one_name(
    names: tuple[str, ...], is_one: bool
) -> None:
    assert has_one_name(names) is is_one


def test_an_image_in_use_is_remembered_and_one_that_is_gone_forgotten() -> None:
    images = [an_image("a"), an_image("b")]
    seen = seen_after({"gone": Seen(0.0)}, images, {"a"}, 5.0)
    assert seen == {"a": Seen(5.0, 5.0), "b": Seen(5.0)}
    assert seen_after(seen, images, set(), 9.0) == seen


IMAGES = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.tuples(st.integers(1, 50), st.booleans(), st.booleans(), st.floats(0, 200)),
)


@given(IMAGES, st.integers(0, 300))
def test_nothing_is_taken_that_is_used_anothers_or_fresh_and_nothing_without_need(
    found: Mapping[str, tuple[int, bool, bool, float]], wanted: int
) -> None:
    images = [an_image(name, size) for name, (size, _, _, _) in found.items()]
    own = {name for name, (_, is_own, _, _) in found.items() if is_own}
    used = {name for name, (_, _, is_used, _) in found.items() if is_used}
    seen = {name: Seen(first_s) for name, (_, _, _, first_s) in found.items()}
    plan = collection_of(images, own, used, seen, wanted, LATER)
    taken = {one.id for one in plan.take}
    assert not taken & used
    assert taken <= own
    assert all(seen[one.id].first_s <= 1.0 for one in plan.take)
    spare = {one.id for one in plan.spare}
    assert sorted([*taken, *spare, *plan.kept]) == sorted(found)
    # Without the last one there would not be enough.
    assert sum(one.size_bytes for one in plan.take[:-1]) < wanted or not taken
