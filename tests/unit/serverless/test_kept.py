"""What calls have said is kept, the newest, within bounds."""

from datetime import UTC, datetime

from serverless.board import kept
from serverless.board.kept import Entry, KeptLogs
from serverless.board.key import FunctionKey

KEY = FunctionKey("default", "f")


def an_entry(call: str, text: str = "said\n") -> Entry:
    return Entry(call, datetime(2026, 1, 1, tzinfo=UTC), "ok", 1.5, "f-1", text)


def test_entries_are_told_oldest_first_and_by_call() -> None:
    logs = KeptLogs()
    logs.add(KEY, an_entry("a"))
    logs.add(KEY, an_entry("b"))

    assert [one.call for one in logs.of(KEY)] == ["a", "b"]
    assert [one.call for one in logs.of(KEY, "b")] == ["b"]
    assert logs.of(FunctionKey("default", "other")) == ()


def test_the_oldest_are_forgotten_by_count_and_by_size() -> None:
    logs = KeptLogs()
    for number in range(kept.CALLS_MAX + 5):
        logs.add(KEY, an_entry(str(number), ""))
    assert logs.of(KEY)[0].call == "5"

    logs.add(KEY, an_entry("large", "x" * kept.BYTES_MAX))
    logs.add(KEY, an_entry("last", "x"))

    assert [one.call for one in logs.of(KEY)] == ["last"]


def test_functions_that_said_something_longest_ago_are_forgotten() -> None:
    logs = KeptLogs()
    for number in range(kept.FUNCTIONS_MAX + 1):
        logs.add(FunctionKey("default", str(number)), an_entry("a"))

    assert logs.of(FunctionKey("default", "0")) == ()
    assert len(logs.of(FunctionKey("default", "1"))) == 1
    logs.forget(FunctionKey("default", "1"))
    assert logs.of(FunctionKey("default", "1")) == ()
