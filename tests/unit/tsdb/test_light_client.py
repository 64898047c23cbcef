"""Asking a store costs its asker little: no arrays, no HTTP library, few modules."""

import json
import subprocess
import sys

import pytest

from tsdb.client.query import NotSent, QueryClient, QueryUnanswered

PROGRAM = """
import json, sys
import msgspec
before = set(sys.modules)
import tsdb.client.query
print(json.dumps([sorted(set(sys.modules) - before), sorted(sys.modules)]))
"""
HEAVY = {"numpy", "pcodec", "re2", "cramjam", "zstandard", "aiohttp", "asyncio", "dataclasses"}
# Beyond msgspec, which every program has: the client itself.
MODULES_MAX = 6


def test_the_query_client_brings_few_modules_and_none_of_the_stores() -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    new, present = (set(names) for names in json.loads(found.stdout))

    assert "tsdb.client.query" in new
    assert {name for name in present if name.partition(".")[0] in HEAVY} == set()
    assert {one for one in new if one.startswith("tsdb")} == {
        "tsdb",
        "tsdb.client",
        "tsdb.client.query",
    }
    assert len(new) < MODULES_MAX


class Canned:
    """Answers every question with the same body, or with none."""

    def __init__(self, body: bytes | None) -> None:
        self.body = body
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def post(self, path: str, form: dict[str, str]) -> bytes:
        self.asked.append((path, dict(form)))
        if self.body is None:
            raise NotSent("connection refused")
        return self.body


async def test_a_question_is_a_form_and_its_answer_numbers() -> None:
    body = b'{"status":"success","data":{"resultType":"vector","result":' \
        b'[{"metric":{"a":"b"},"value":[12.5,"+Inf"]}]}}'  # fmt: skip
    sender = Canned(body)
    (series,) = await QueryClient(sender).query("up", at_s=12.5)  # type: ignore[arg-type]
    assert sender.asked == [("/api/v1/query", {"query": "up", "time": "12.5"})]
    assert (series.labels, series.last) == ({"a": "b"}, float("inf"))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (None, "unreachable"),
        (b"<html>", "unreadable"),
        (b'{"status":"error","errorType":"bad_data","error":"no"}', "bad_data"),
    ],
)
async def test_without_an_answer_there_is_no_number(body: bytes | None, kind: str) -> None:
    with pytest.raises(QueryUnanswered) as caught:
        await QueryClient(Canned(body)).value("up")  # type: ignore[arg-type]
    assert caught.value.kind == kind
