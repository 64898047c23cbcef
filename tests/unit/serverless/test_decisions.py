"""What was decided of a function's instances is kept once, and within bounds."""

from datetime import UTC, datetime

from serverless.board.decisions import DECISIONS_MAX, FUNCTIONS_MAX, Decision, Decisions
from serverless.board.key import FunctionKey

KEY = FunctionKey("default", "hello")
AT = datetime(2026, 1, 1, tzinfo=UTC)


def decision(wanted: int, reason: str = "calls") -> Decision:
    return Decision(AT, wanted, wanted, reason)


def test_a_decision_is_kept_where_it_differs_from_the_one_before() -> None:
    kept = Decisions()
    for wanted in (0, 1, 1, 2, 1):
        kept.note(KEY, decision(wanted))
    kept.note(KEY, decision(1, "spec.maxInstances"))

    assert [one.wanted for one in kept.of(KEY)] == [0, 1, 2, 1, 1]
    kept.forget(KEY)
    assert kept.of(KEY) == ()


def test_the_oldest_decisions_and_functions_are_forgotten_first() -> None:
    kept = Decisions()
    for wanted in range(DECISIONS_MAX + 5):
        kept.note(KEY, decision(wanted))
    assert kept.of(KEY)[0].wanted == 5

    for number in range(FUNCTIONS_MAX):
        kept.note(FunctionKey("default", f"f{number}"), decision(1))
    assert kept.of(KEY) == ()
