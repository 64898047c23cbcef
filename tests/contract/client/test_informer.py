"""The informer's promises, against a server that does exactly what the script says."""

import asyncio

import pytest

from cubernetes.api.bodies.envelopes import Listing, ListMeta, status_of
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import AHEAD, Gone, Problem, Timeout
from cubernetes.client.cache import revision_of
from cubernetes.client.informer import Informer, WentBack
from cubernetes.client.outcome import UnknownOutcome, Unreachable
from cubernetes.client.rest import Client
from cubernetes.host.supervise import BeginAnew, supervised
from tests.given import a_pod
from tests.scripted import (
    Answer,
    ScriptedTransport,
    bookmark,
    line,
    listed,
    ok,
    refused,
    streamed,
)
from tests.simulation.clock import sim_env
from tests.simulation.loop import run_simulated

A1, A5 = a_pod("a", revision=1), a_pod("a", revision=5)
B5, B6 = a_pod("b", revision=5), a_pod("b", revision=6)
QUIET = streamed(lives_s=10_000.0)
type Told = tuple[str, int, int]


class Story:
    """What an informer told, what it asked, and what it knows after a while."""

    def __init__(self, transport: ScriptedTransport, informer: Informer[Pod]) -> None:
        self.told: list[Told] = []
        self.transport = transport
        self.informer = informer
        informer.on_change(self._note)

    def _note(self, old: Pod | None, new: Pod | None) -> None:
        one = new or old
        assert one is not None
        # The cache shows the new state before anybody hears of it.
        assert self.informer.cache.get(one.metadata.name, "default") == new
        self.told.append(
            (
                one.metadata.name,
                revision_of(old) if old is not None else 0,
                revision_of(new) if new is not None else 0,
            )
        )

    @property
    def asked(self) -> list[str]:
        return [
            ("watch " if one.parameter("watch") else "list ")
            + one.parameter("resourceVersion", "newest")
            for one in self.transport.requests
        ]


def story_of(*answers: Answer, lasts_s: float = 40.0) -> Story:
    async def main() -> Story:
        env = sim_env("informer")
        transport = ScriptedTransport(*answers)
        informer = Informer(Client(transport, env), Pod, env)
        story = Story(transport, informer)
        task = asyncio.create_task(informer.run())
        await asyncio.wait([task], timeout=lasts_s)
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait([task])
        return story

    return run_simulated(main())


def test_it_lists_and_watches_from_exactly_there() -> None:
    story = story_of(listed([A1], 4), streamed(line("MODIFIED", A5), line("ADDED", B6)), QUIET)

    assert story.asked[:2] == ["list newest", "watch 4"]
    assert story.told == [("a", 0, 1), ("a", 1, 5), ("b", 0, 6)]
    assert story.informer.cache.revision == 6


def test_a_break_between_two_changes_of_one_transaction_loses_nothing() -> None:
    story = story_of(
        listed([A1], 4),
        streamed(line("MODIFIED", A5), breaks=UnknownOutcome("cut"), lives_s=0.1),
        streamed(line("MODIFIED", A5), line("ADDED", B5)),
        QUIET,
    )

    assert story.asked[:3] == ["list newest", "watch 4", "watch 4"]
    assert story.told == [("a", 0, 1), ("a", 1, 5), ("b", 0, 5)]


def test_a_deletion_that_is_delivered_twice_is_told_once() -> None:
    gone = a_pod("a", revision=7)
    story = story_of(
        listed([A1], 4),
        streamed(line("DELETED", gone), breaks=UnknownOutcome("cut"), lives_s=0.1),
        streamed(line("DELETED", gone), line("ADDED", a_pod("a", revision=9))),
        QUIET,
    )

    assert story.told == [("a", 0, 1), ("a", 1, 0), ("a", 0, 9)]


def test_a_bookmark_moves_the_place_to_go_on_from() -> None:
    story = story_of(
        listed([A1], 4),
        streamed(bookmark(50), breaks=UnknownOutcome("cut"), lives_s=0.1),
        QUIET,
    )

    assert story.asked == ["list newest", "watch 4", "watch 50"]
    assert story.informer.whole_revision == 50


def test_after_a_compaction_it_lists_anew_and_tells_what_vanished() -> None:
    story = story_of(
        listed([A1, B5], 5),
        refused(Gone("compacted")),
        listed([a_pod("a", revision=8), a_pod("c", revision=9)], 20),
        QUIET,
    )

    assert story.asked == ["list newest", "watch 5", "list 5", "watch 20"]
    assert story.told[2:] == [("a", 1, 8), ("b", 5, 0), ("c", 0, 9)]


def test_a_compaction_told_within_the_stream_is_the_same() -> None:
    gone = status_of(Gone("fell behind"))
    story = story_of(listed([A1], 5), streamed(line("ERROR", gone)), listed([], 20), QUIET)

    assert story.asked == ["list newest", "watch 5", "list 5", "watch 20"]
    assert story.told == [("a", 0, 1), ("a", 1, 0)]


def test_a_server_that_is_behind_is_waited_for() -> None:
    behind = refused(Timeout("Too large resource version"))
    story = story_of(listed([A1], 5), refused(Gone("old")), behind, behind, listed([], 9), QUIET)

    assert story.asked == ["list newest", "watch 5", "list 5", "list 5", "list 5", "watch 9"]


def test_a_list_from_the_past_is_not_taken() -> None:
    story = story_of(listed([A1], 5), refused(Gone("old")), listed([], 3), listed([A5], 6), QUIET)

    assert story.told == [("a", 0, 1), ("a", 1, 5)]
    assert story.informer.cache.revision == 6


@pytest.mark.parametrize(
    "answer",
    [Unreachable("cut"), UnknownOutcome("reset"), streamed(lives_s=0.0), refused(Gone("old"))],
)
def test_no_failure_makes_it_spin(answer: Answer) -> None:
    story = story_of(listed([A1], 4), answer, lasts_s=600.0)

    # 2.5 to 5 s between attempts, and quicker ones at first.
    assert len(story.transport.requests) < 600 / 2.5 + 30


@pytest.mark.parametrize(
    "sent",
    [
        b"{}\n",
        b"[]\n",
        b"null\n",
        b"not JSON\n",
        b'{"object":{"metadata":{"resourceVersion":"5"}}}\n',
        b'{"type":"ADDED"}\n',
        b'{"type":"ADDED","object":null}\n',
        b'{"type":"RENAMED","object":{"metadata":{"resourceVersion":"5"}}}\n',
        b'{"type":"BOOKMARK","object":{}}\n',
        b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"soon"}}}\n',
        b'{"type":"ERROR","object":{"code":"many"}}\n',
        b'{"type":"ADDED","object":' + b"[" * 100_000 + b"\n",
        line("ADDED", a_pod("b", revision=0)).replace(b'"resourceVersion":"0"', b'"x":"0"'),
        line("ADDED", a_pod("b", revision=5)).replace(b'"5"', b'"-5"'),
    ],
)
def test_a_line_that_is_no_event_ends_the_watch_and_not_the_informer(sent: bytes) -> None:
    story = story_of(listed([A1], 4), streamed(sent), QUIET)

    assert story.asked[:3] == ["list newest", "watch 4", "watch 4"]


@pytest.mark.parametrize("revision", ["", "soon", "-4"])
def test_a_list_that_tells_no_revision_is_asked_for_again(revision: str) -> None:
    told = ok(Listing(metadata=ListMeta(resource_version=revision), items=(A1,)))
    story = story_of(told, listed([A1], 4), QUIET)

    assert story.asked[:3] == ["list newest", "list newest", "watch 4"]


def test_a_connection_that_says_nothing_is_given_up() -> None:
    story = story_of(listed([A1], 4), streamed(lives_s=10_000.0), lasts_s=200.0)

    assert story.asked[1:4] == ["watch 4"] * 3


def test_a_bug_in_a_callback_comes_out() -> None:
    def broken(old: Pod | None, new: Pod | None) -> None:
        raise KeyError("bug")

    async def main() -> None:
        env = sim_env("informer")
        informer = Informer(Client(ScriptedTransport(listed([A1], 4)), env), Pod, env)
        informer.on_change(broken)
        await informer.run()

    with pytest.raises(KeyError, match="bug"):
        run_simulated(main())


def test_waiting_for_a_revision_ends_when_it_is_there_or_when_it_is_late() -> None:
    async def main() -> tuple[bool, bool]:
        env = sim_env("informer")
        transport = ScriptedTransport(listed([A1], 4), streamed(line("ADDED", B6)), QUIET)
        informer = Informer(Client(transport, env), Pod, env)
        task = asyncio.create_task(informer.run())
        answers = await informer.at_least(6, 10.0), await informer.at_least(7, 10.0)
        task.cancel()
        await asyncio.wait([task])
        return answers

    assert run_simulated(main()) == (True, False)


AHEAD_OF_IT = refused(
    Timeout("not yet at 6", problems=[Problem("", "Too large resource version", AHEAD)])
)


def test_a_server_that_lags_is_asked_for_what_is_true_now() -> None:
    story = story_of(listed([A1], 6), AHEAD_OF_IT, listed([A1, B6], 7), QUIET)

    assert story.asked[:4] == ["list newest", "watch 6", "list newest", "watch 7"]
    assert story.told == [("a", 0, 1), ("b", 0, 6)]


def test_where_the_api_went_back_in_time_everything_begins_anew() -> None:
    with pytest.raises(WentBack, match="Pod: 3 is newest, was 6"):
        story_of(listed([A5], 6), AHEAD_OF_IT, listed([A1], 3))


def test_who_keeps_tasks_alive_lets_a_new_beginning_pass() -> None:
    async def main() -> None:
        async def work() -> None:
            raise BeginAnew

        with pytest.raises(BeginAnew):
            await supervised("work", work, sim_env("supervised"))

    run_simulated(main())
