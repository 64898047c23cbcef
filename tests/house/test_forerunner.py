"""The defects of the system that came before this one: each has a test that names it.

The forerunner was a course project of 2022; its weaknesses are numbered W1 to W55. Those below
touch what is built by now.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.house.sources import ROOMS, Source, none, sources

WEAKNESSES = {
    1: "an address allocator that spins for ever on a taken address",
    3: "one bad service freezes the proxies of every node",
    4: "a dead pause container kills the kubelet",
    5: "maps shared by threads without locks",
    6: "a watch that busy-loops or never ends",
    9: "nobody supervises anything, starts wait for fixed times",
    10: "what happens while a program is down is never acted on",
    11: "changes between list and watch are lost",
    12: "writers overwrite each other",
    13: "a deleted pod stays behind its service",
    14: "a lost node keeps its pods for ever",
    15: "crashed pods of a set leak",
    16: "ghost nodes",
    17: "an unschedulable pod is a write loop",
    18: "a set counts and kills what is not its own",
    19: "whatever starts slowly is killed and made again for ever",
    20: "exit codes are never seen",
    21: "failures to create never reach the status",
    22: "no restart in place, no back-off",
    23: "any edit recreates everything, names are parsed",
    24: "the start time is lost, fields are misnamed",
    25: "service rules are rebuilt with a gap",
    26: "uneven spread, no hairpin",
    27: "every node writes the endpoints",
    39: "one site for GPU jobs, with its password compiled in",
    40: "how a GPU job ended is not read, and a blip of the network fails it",
    41: "deleting a GPU job does nothing at its site",
    42: "no authentication anywhere",
    43: "names from outside become paths",
    44: "programs are downloaded at run time, pods are not confined",
    45: "reset destroys what belongs to others",
    46: "selector scheduling is first match, resources are ignored",
    49: "apply only creates, no other verbs",
    50: "no validation, defaults, unique names, pages, selectors",
    51: "logs are cut off at start, everything polls",
    52: "one stuck pod holds up the node",
    53: "tests that assert nothing",
    54: "container changes are compared by name only",
    55: "installation by hand, blind waiting",
}


def every_test_source() -> list[Source]:
    return [one for one in sources() if one.path.startswith("tests/")]


@cache
def named() -> frozenset[int]:
    """Return the weaknesses that other tests than these name: `w12_` in a name, or W12."""
    others = (one for one in every_test_source() if one.path != "tests/house/test_forerunner.py")
    return frozenset(number for one in others for number in numbers_in(one.text))


def numbers_in(text: str) -> Iterator[int]:
    for name in re.findall(r"def (test_\w*)", text):
        yield from map(int, re.findall(r"w(\d+)_", name))
    yield from map(int, re.findall(r"\bW(\d+)\b", text))


def test_a_number_is_named_whole_by_a_test_or_in_capitals() -> None:
    assert list(numbers_in("def test_w1_w23_x(): ...\ndef w4_(): W12 W13b")) == [1, 23, 12]


@pytest.mark.parametrize("number", WEAKNESSES)
def test_a_weakness_of_the_forerunner_is_named_by_a_test(number: int) -> None:
    assert number in {*named(), *OWN}, f"W{number} ({WEAKNESSES[number]}): no test names it"


OWN = (5, 53)
THREADS = frozenset({"threading", "concurrent", "multiprocessing", "_thread", "to_thread"})
THREADED = {
    "cuberoot/join.py": "a command of a person, not a daemon: it waits for one blocking answer",
    "cubernetes/host/blocking.py": "one call that may block, which shares nothing but its result",
    "cubernetes/host/log.py": "text on its way to stderr, through a queue",
    "serverless/runtime/door.py": "a container's process 2: no event loop, one connection a thread",
    "serverless/runtime/zygote.py": "it makes none, and refuses code that does",
}


def test_w5_threads_are_made_by_the_ground_alone_and_share_nothing() -> None:
    guilty = [
        f"{one.path}: {word}"
        for one in sources()
        if one.room in ROOMS and one.room not in ("lab", "tsdb") and one.path not in THREADED
        for word in sorted(THREADS & _words(one))
    ]
    assert guilty == []


def _words(source: Source) -> set[str]:
    words: set[str] = set()
    for node in source.nodes:
        if isinstance(node, ast.Import):
            words |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            words.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
    return words


def test_w53_every_test_claims_something() -> None:
    silent = [
        f"{one.path}:{function.lineno} {function.name}"
        for one in every_test_source()
        for claiming in (_claiming(one),)
        for function in _functions(one)
        if function.name.startswith("test_")
        and function.name not in CLAIMED_ELSEWHERE
        and not _claims(function, claiming)
    ]
    none(silent, "claim something, or say by a name like must_... that a call claims it")


# Their claim is that nothing is raised, or it is made in what they call.
CLAIMED_ELSEWHERE = {
    "test_replaying_a_watch_gives_what_a_list_gives",
    "test_memory_and_etcd_cannot_be_told_apart",
    "test_a_contract_is_kept",
    "test_no_header_breaks_the_reading",
    "test_a_damaged_matrix_says_corrupt_or_gives_numbers",
    "test_any_payload_is_a_record_or_corrupt",
    "test_a_store_and_its_model_agree_through_a_random_life",
}
# Calls that fail by themselves: they are claims, although no assert stands in the test.
CLAIMS = ("until", "raises", "must_", "expect", "check", "none", "assert", "agree", "warns")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(source: Source) -> Iterator[Function]:
    return (node for node in source.nodes if isinstance(node, Function))


def _claiming(source: Source) -> frozenset[str]:
    """Return the functions of a file that claim something themselves."""
    return frozenset(one.name for one in _functions(source) if _claims(one, frozenset()))


def _claims(function: Function, claiming: frozenset[str]) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", "") or getattr(node.func, "id", "")
            if name in claiming or any(word in name for word in CLAIMS):
                return True
    return False
