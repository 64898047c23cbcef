"""What is told of functions, revisions and routes: statuses. Pure."""

from collections.abc import Collection, Mapping
from datetime import datetime

from cubernetes.api.condition import Condition, condition_of, with_condition
from cubernetes.api.meta import Ref, replaced
from cubernetes.api.serverless.function import (
    LOADED,
    TRAFFIC,
    Function,
    FunctionInstances,
    FunctionStatus,
)
from cubernetes.api.serverless.functionrevision import FunctionRevision, FunctionRevisionStatus
from cubernetes.api.serverless.route import ACCEPTED, Route, RouteStatus
from serverless.board.key import FunctionKey
from serverless.brain.plan import World, key_of
from serverless.brain.traffic import is_loaded, largest_of, told_of, verdict_on

MESSAGE_CHARS_MAX = 4096


def revision_with(
    revision: FunctionRevision, failure: str, milliseconds: float, now: datetime
) -> FunctionRevision:
    """Return a revision whose loading is known: failure is empty where it could be loaded."""
    verdict = Condition(
        type=LOADED,
        status="False" if failure else "True",
        reason="LoadFailed" if failure else "Loaded",
        message=failure[-MESSAGE_CHARS_MAX:],
    )
    status = FunctionRevisionStatus(
        load_milliseconds=round(milliseconds),
        conditions=with_condition(revision.status.conditions, verdict, now),
    )
    return replaced(revision, status=status)


def function_status(function: Function, world: World, wanted: int, now: datetime) -> FunctionStatus:
    """Return what is to be told of a function; equal where nothing has changed."""
    aim = world.aims[key_of(function)]
    own = world.by_function.get(key_of(function), ())
    ready = [one for one in own if one.is_ready and one.loaded and not one.is_draining]
    told = _verdict(aim.latest, world.lacking)
    conditions = with_condition(function.status.conditions, told, now)
    if function.spec.traffic:
        conditions = with_condition(conditions, verdict_on(aim.split), now)
    else:
        conditions = tuple(one for one in conditions if one.type != TRAFFIC)
    return FunctionStatus(
        observed_generation=function.metadata.generation,
        latest_revision=aim.code,
        serving_revision=largest_of(aim.split),
        traffic=told_of(aim.split),
        instances=FunctionInstances(
            wanted=wanted,
            ready=len(ready),
            draining=sum(one.is_draining for one in own),
        ),
        reason=_reason(function, wanted, has_code=bool(aim.split.shares)),
        conditions=conditions,
    )


def _reason(function: Function, wanted: int, *, has_code: bool) -> str:
    spec = function.spec
    if not has_code:
        return "no revision could be loaded yet"
    if wanted == 0:
        return f"no calls in the last {spec.idle_seconds} s"
    if wanted == spec.min_instances:
        return "spec.minInstances"
    if wanted == spec.max_instances:
        return "spec.maxInstances"
    return f"the most that calls needed in the last {spec.idle_seconds} s"


def _verdict(latest: FunctionRevision | None, lacking: Mapping[Ref, str]) -> Condition:
    known = is_loaded(latest) if latest is not None else None
    if latest is not None and known is None and (told := lacking.get(latest.ref)):
        return Condition(type=LOADED, status="Unknown", reason="SecretMissing", message=told)
    if latest is None or known is None:
        return Condition(type=LOADED, status="Unknown", reason="NotTried")
    found = next(one for one in latest.status.conditions if one.type == LOADED)
    return Condition(type=LOADED, status=found.status, reason=found.reason, message=found.message)


def failure_of(revision: FunctionRevision) -> str:
    """Return why a revision cannot be loaded."""
    found = condition_of(revision.status.conditions, LOADED)
    return found.message if found is not None else ""


def route_status(
    route: Route, conflict: str, functions: Collection[FunctionKey], now: datetime
) -> RouteStatus:
    """Return what is to be told of a route."""
    target = FunctionKey(route.metadata.namespace, route.spec.function)
    if conflict:
        verdict = Condition(type=ACCEPTED, status="False", reason="Conflict", message=conflict)
    elif target not in functions:
        told = f"there is no Function {target.name} in the namespace"
        verdict = Condition(type=ACCEPTED, status="False", reason="NoFunction", message=told)
    else:
        verdict = Condition(type=ACCEPTED, status="True", reason="Accepted")
    return RouteStatus(conditions=with_condition(route.status.conditions, verdict, now))
