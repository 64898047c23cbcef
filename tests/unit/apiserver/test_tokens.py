"""Bootstrap tokens: good once, for a while, for those who know the secret."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.auth.tokens import (
    NAMES_MAX,
    REPEAT_WINDOW_S,
    Failures,
    Shown,
    TokenRecord,
    hash_of,
    is_good,
    may_join,
    shown_in,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_token(*, once: bool = True, node: str = "", used_s_ago: int | None = None) -> TokenRecord:
    used_at = None if used_s_ago is None else NOW - timedelta(seconds=used_s_ago)
    return TokenRecord(
        id="abc",
        secret_hash=hash_of("right"),
        expires_at=NOW + timedelta(hours=1),
        once=once,
        node=node,
        used_at=used_at,
    )


@given(st.text(max_size=40))
def test_only_the_secret_is_good(secret: str) -> None:
    assert is_good(a_token(), secret, NOW) == (secret == "right")


def test_a_token_ends() -> None:
    assert is_good(a_token(), "right", NOW + timedelta(minutes=59))
    assert not is_good(a_token(), "right", NOW + timedelta(hours=1))


def test_a_token_for_one_use_may_be_used_again_by_its_node_for_a_while() -> None:
    assert is_good(a_token(node="n1", used_s_ago=REPEAT_WINDOW_S - 1), "right", NOW)
    assert not is_good(a_token(node="n1", used_s_ago=REPEAT_WINDOW_S), "right", NOW)
    assert may_join(a_token(node="n1"), "n1")
    assert not may_join(a_token(node="n1"), "n2")
    assert may_join(a_token(once=False, node="n1"), "n2")


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("Bearer abc.secret", Shown("abc", "secret")),
        ("bearer abc.se.cret", Shown("abc", "se.cret")),
        ("Basic abc.secret", None),
        ("Bearer abc", None),
        ("Bearer abc.", None),
        ("Bearer .secret", None),
        ("Bearer ../tokens.secret", None),
        ("Bearer " + "a" * 1000 + ".x", None),
        ("", None),
    ],
)
def test_a_header_is_a_token_or_nothing(header: str, wanted: Shown | None) -> None:
    assert shown_in(header) == wanted


@given(st.text())
def test_no_header_breaks_the_reading(header: str) -> None:
    shown_in(header)


def test_what_is_kept_does_not_hold_the_secret() -> None:
    assert b"right" not in msgspec.json.encode(a_token())


@given(times=st.lists(st.floats(0, 300), max_size=60), most=st.integers(1, 5))
def test_no_minute_sees_more_wrong_guesses_than_allowed(times: list[float], most: int) -> None:
    failures = Failures(most)
    let_through: dict[int, int] = {}
    for at in sorted(times):
        if not failures.is_over("a", at):
            failures.add("a", at)
            let_through[int(at // 60)] = let_through.get(int(at // 60), 0) + 1

    assert all(count <= most for count in let_through.values())


def test_wrong_tokens_are_counted_for_each_name_apart_and_beyond_a_crowd_together() -> None:
    failures = Failures(2)
    for number in range(NAMES_MAX):
        failures.add(f"p{number}", 0.0)
    failures.add("p0", 1.0)
    assert failures.is_over("p0", 1.0)
    assert not failures.is_over("p1", 1.0)
    # Who comes when the table is full shares one count with all who do.
    failures.add("late", 1.0)
    failures.add("later", 1.0)
    assert failures.is_over("latest", 1.0)
    assert failures.name_count == NAMES_MAX + 1
    assert not failures.is_over("p0", 60.0)
    assert failures.name_count == 0
