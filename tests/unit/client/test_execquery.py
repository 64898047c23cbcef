"""The query of exec: read, refused by name, and written anew for the kubelet."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.errors import BadRequest
from cubernetes.client.wire.execquery import (
    ExecQuery,
    attach_query,
    exec_query,
    exec_query_text,
)

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(st.lists(WORDS, max_size=5), st.booleans(), st.booleans(), st.booleans())
def test_what_is_written_for_the_kubelet_is_read_as_it_was_asked(
    words: list[str], stdin: bool, stderr: bool, tty: bool
) -> None:
    asked = ExecQuery(("x", *words), "", stdin, True, stderr, tty)
    fields = parse_qsl(exec_query_text(asked), keep_blank_values=True)
    assert exec_query(fields) == asked


@given(st.booleans(), st.booleans(), st.booleans())
def test_to_attach_needs_no_command_and_takes_none(stdin: bool, stderr: bool, tty: bool) -> None:
    asked = ExecQuery((), "", stdin, True, stderr, tty)
    assert attach_query([*parse_qsl(exec_query_text(asked)), ("command", "rm")]) == asked


def test_the_words_of_a_command_keep_their_order_and_blanks() -> None:
    fields = [("command", "sh"), ("stdout", "true"), ("command", "-c"), ("command", "")]
    assert exec_query(fields).command == ("sh", "-c", "")


def test_left_out_is_false() -> None:
    asked = exec_query([("command", "x"), ("stdout", "1")])
    assert asked == ExecQuery(("x",), stdout=True)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ([("stdout", "true")], "command"),
        ([("command", ""), ("stdout", "true")], "command"),
        ([("command", "a\0"), ("stdout", "true")], "command"),
        ([("command", "x")], "stdin, stdout, stderr"),
        ([("command", "x"), ("stdin", "yes")], "stdin"),
        ([("command", "x"), ("stdin", "true"), ("container", "A")], "container"),
    ],
)
def test_what_is_wrong_is_named(fields: list[tuple[str, str]], named: str) -> None:
    with pytest.raises(BadRequest, match=f"^{named}: "):
        exec_query(fields)
