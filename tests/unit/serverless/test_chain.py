"""Where a function's call goes on, and why it does not."""

import pytest

from cubernetes.api.meta import ObjectMeta
from cubernetes.api.serverless.function import Function, FunctionSpec
from serverless.board.kept import Entry, KeptLogs
from serverless.board.key import FunctionKey
from serverless.chain import (
    BODY_BYTES_MAX,
    FUNCTIONS_MAX,
    HEAD_BYTES_MAX,
    call_at,
    origin_at,
    why_not_onward,
)
from serverless.envelope import Onward
from tests.unit.serverless.functionworld import NOW


def function(*calls: str) -> Function:
    spec = FunctionSpec(files={"action.py": ""}, calls=calls)
    return Function(metadata=ObjectMeta(name="first", namespace="default"), spec=spec)


@pytest.mark.parametrize(
    ("onward", "body_bytes", "told"),
    [
        (Onward(function="second"), BODY_BYTES_MAX, ""),
        (Onward(function="third"), 0, "spec.calls of function first does not allow it"),
        (Onward(function=""), 0, "the name of a function of the namespace"),
        (Onward(function="other/second"), 0, "the name of a function of the namespace"),
        (Onward(function="second", method="post"), 0, "its method must be one of DELETE, GET"),
        (Onward(function="second", path="p"), 0, "its path must begin with '/'"),
        (Onward(function="second", params=(("x", "y" * HEAD_BYTES_MAX),)), 0, "at most 65536"),
        (Onward(function="second"), BODY_BYTES_MAX + 1, "its body has 1048577 bytes"),
    ],
)
def test_a_call_goes_on_where_it_may_and_else_says_why_not(
    onward: Onward, body_bytes: int, told: str
) -> None:
    why = why_not_onward(function("second"), onward, b"x" * body_bytes, ())

    assert told in why
    assert bool(told) == bool(why)


def test_a_star_allows_every_function_and_the_length_of_a_chain_has_its_limit() -> None:
    before = [f"f{number}" for number in range(FUNCTIONS_MAX - 2)]

    assert why_not_onward(function("*"), Onward(function="any"), b"", before) == ""
    told = why_not_onward(function("*"), Onward(function="any"), b"", ["f", *before])
    assert f"a chain may have {FUNCTIONS_MAX} functions: f > f0 >" in told


def test_each_function_of_a_chain_knows_its_call_by_its_place() -> None:
    assert call_at("ID", ()) == "ID"
    assert call_at("ID", ("first", "second")) == "ID.2"
    assert origin_at("ID", ("first",)) == {"function": "first", "call": "ID"}
    assert origin_at("ID", ("first", "second")) == {"function": "second", "call": "ID.1"}


def test_a_call_is_found_in_the_logs_of_all_functions_of_its_chain() -> None:
    logs, first, second = KeptLogs(), FunctionKey("d", "first"), FunctionKey("d", "second")
    logs.add(second, Entry("ID.1", NOW, "ok", 1.0, "r", "later"))
    logs.add(first, Entry("ID", NOW.replace(year=NOW.year - 1), "onward", 1.0, "r", "sooner"))
    logs.add(first, Entry("ID1", NOW, "ok", 1.0, "r", "another"))

    assert [(key, one.text) for key, one in logs.of_call("ID")] == [
        (first, "sooner"),
        (second, "later"),
    ]
    assert [one.text for one in logs.of(second, "ID")] == ["later"]
