"""Which peers are lost, and who is told of it: once each way."""

from hypothesis import given
from hypothesis import strategies as st

from kubelet.reach.silence import LOST_S, News, Silence, silence_after


def after(*looks: tuple[float, dict[str, bool]]) -> list[list[News]]:
    """Return the news of each look."""
    silence, told = Silence(), []
    for now_s, answered in looks:
        silence, news = silence_after(silence, answered, now_s)
        told.append(news)
    return told


def test_a_peer_that_is_silent_for_long_is_told_once_and_again_when_it_answers() -> None:
    told = after(
        (0, {"n2": True, "n3": True}),
        (10, {"n2": True, "n3": False}),
        (30, {"n2": True, "n3": False}),
        (40, {"n2": True, "n3": False}),
        (50, {"n2": True, "n3": False}),
        (60, {"n2": True, "n3": True}),
        (70, {"n2": True, "n3": True}),
    )
    lost, back = News("n3", is_lost=True, silent_s=30), News("n3", is_lost=False, silent_s=50)
    assert told == [[], [], [], [lost], [], [back], []]


def test_a_short_silence_is_nothing_and_begins_anew() -> None:
    told = after(
        (0, {"n2": False}), (20, {"n2": False}), (29, {"n2": True}), (35, {"n2": False}),
        (60, {"n2": False}),
    )  # fmt: skip
    assert told == [[]] * 5


def test_a_peer_that_is_not_asked_any_more_is_forgotten() -> None:
    told = after((0, {"n2": False}), (40, {"n2": False}), (50, {}), (60, {"n2": True}))
    assert [[one.is_lost for one in news] for news in told] == [[], [True], [], []]


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), max_size=30))
def test_each_peer_is_lost_and_back_in_turn(looks: list[list[bool]]) -> None:
    looked = [
        (LOST_S / 2 * index, dict(zip("abc", look, strict=True)))
        for index, look in enumerate(looks)
    ]
    for peer in "abc":
        said = [one.is_lost for news in after(*looked) for one in news if one.peer == peer]
        assert said == [index % 2 == 0 for index in range(len(said))]
