"""What is told of functions, revisions and routes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cubernetes.api.condition import condition_of
from cubernetes.api.serverless.function import Function
from serverless.board.key import FunctionKey
from serverless.brain.naming import revision_name
from serverless.brain.plan import World, revisions_by_function
from serverless.brain.statuses import failure_of, function_status, revision_with, route_status
from tests.unit.serverless.functionworld import (
    NOW,
    a_function,
    a_revision,
    a_route,
    an_instance,
)

KEY = FunctionKey("default", "f")


def a_world(function: Function, *, loads: bool | None = True) -> World:
    name = revision_name(function)
    draining = an_instance("c", KEY, loaded=(name,), running=1)
    return World(
        functions=(function,),
        revisions=revisions_by_function([a_revision(function, loads=loads)]),
        instances=(
            an_instance("a", KEY, loaded=(name,)),
            an_instance("b", KEY),
            replace(draining, is_draining=True),
            an_instance("pool"),
            replace(an_instance("d", KEY, loaded=(name,)), is_broken=True),
        ),
    )


def test_a_status_counts_the_instances_of_its_function() -> None:
    function = a_function()

    status = function_status(function, a_world(function), 3, NOW)

    counts = (status.instances.wanted, status.instances.ready, status.instances.draining)
    assert counts == (3, 1, 1)
    assert status.observed_generation == 1
    assert status.latest_revision == status.serving_revision == revision_name(function)


def test_a_status_stays_equal_while_nothing_changes() -> None:
    function = a_function()
    first = function_status(function, a_world(function), 1, NOW)
    shown = Function(metadata=function.metadata, spec=function.spec, status=first)

    again = function_status(shown, a_world(function), 1, NOW + timedelta(hours=1))

    assert again == first


@pytest.mark.parametrize(("loads", "status"), [(True, "True"), (False, "False"), (None, "Unknown")])
def test_a_status_says_whether_the_newest_code_loads(loads: bool | None, status: str) -> None:
    function = a_function()

    told = function_status(function, a_world(function, loads=loads), 0, NOW)

    loaded = condition_of(told.conditions, "Loaded")
    assert loaded is not None
    assert loaded.status == status
    assert loaded.message == ("broken" if loads is False else "")


@pytest.mark.parametrize(
    ("wanted", "fields", "reason"),
    [
        (0, {}, "no calls in the last 60 s"),
        (1, {"min_instances": 1}, "spec.minInstances"),
        (5, {"max_instances": 5}, "spec.maxInstances"),
        (2, {}, "the most that calls needed in the last 60 s"),
    ],
)
def test_a_status_says_why_there_are_so_many(
    wanted: int, fields: dict[str, Any], reason: str
) -> None:
    function = a_function(**fields)

    assert function_status(function, a_world(function), wanted, NOW).reason == reason


def test_a_revision_keeps_what_was_found_of_it() -> None:
    revision = a_revision(a_function(), loads=None)

    good = revision_with(revision, "", 8.7, NOW)
    bad = revision_with(revision, "x" * 5000, 0.0, NOW)

    assert good.status.load_milliseconds == 9
    assert [one.status for one in good.status.conditions] == ["True"]
    assert failure_of(bad) == "x" * 4096


def test_a_route_says_what_keeps_it_from_its_function() -> None:
    route = a_route()

    told = [
        route_status(route, "", [KEY], NOW),
        route_status(route, "", [], NOW),
        route_status(route, "GET / is Route a/b's", [KEY], NOW),
    ]

    verdicts = [(one.conditions[0].status, one.conditions[0].reason) for one in told]
    assert verdicts == [("True", "Accepted"), ("False", "NoFunction"), ("False", "Conflict")]
