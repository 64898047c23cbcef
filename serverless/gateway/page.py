"""The live page, and what it shows: functions, routes, triggers, workflows and their runs."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from cubernetes.api.condition import Condition, condition_of
from cubernetes.api.serverless.function import LOADED, Function
from cubernetes.api.serverless.route import ACCEPTED, Route
from cubernetes.api.serverless.trigger import Trigger
from cubernetes.api.serverless.workflow import Workflow
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import Route as Handled
from serverless.board.kept import KeptLogs
from serverless.board.key import FunctionKey
from serverless.gateway.runs import told_of
from serverless.workflow.engine import Engine

PAGE = Path(__file__).with_name("page.html")
HTML = "text/html; charset=utf-8"
# The page brings all that it needs, and asks where it came from alone.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The newest, or the first by name, of each.
SHOWN_MAX = 100
WINDOW = timedelta(seconds=60)


class Shown(NamedTuple):
    """What there is now."""

    functions: Callable[[], Sequence[Function]]
    routes: Callable[[], Sequence[Route]]
    triggers: Callable[[], Sequence[Trigger]]
    workflows: Callable[[], Sequence[Workflow]]
    in_hand: Callable[[FunctionKey], tuple[int, int]]


class Page:
    """Answers the page, and asks of it."""

    def __init__(self, env: Env, shown: Shown, logs: KeptLogs, engine: Engine | None) -> None:
        self._env, self._shown, self._logs, self._engine = env, shown, logs, engine
        self._html = PAGE.read_bytes()

    def routes(self) -> list[Handled]:
        return [("GET", "/", self.page), ("GET", "/state", self.state)]

    async def page(self, _: Request) -> Response:
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
        return Response(200, self._html, headers, HTML)

    async def state(self, _: Request) -> Response:
        """Return all that the page shows, but for one run."""
        runs = self._engine.runs.values() if self._engine is not None else ()
        newest = sorted(runs, key=lambda one: (-one.started.at_ms, one.id))[:SHOWN_MAX]
        told = {
            "at": self._env.clock.now().isoformat(timespec="seconds"),
            "functions": [self._function(one) for one in _first(self._shown.functions())],
            "workflows": [_workflow(one) for one in _first(self._shown.workflows())],
            "routes": [
                *(_route(one) for one in _first(self._shown.routes())),
                *(_trigger(one) for one in _first(self._shown.triggers())),
            ],
            "runs": [told_of(one) for one in newest],
        }
        return Response(200, msgspec.json.encode(told))

    def _function(self, one: Function) -> dict[str, Any]:
        key = FunctionKey(one.metadata.namespace, one.metadata.name)
        since = self._env.clock.now() - WINDOW
        lately = [entry for entry in self._logs.of(key) if entry.at >= since]
        waiting, in_hand = self._shown.in_hand(key)
        loaded = condition_of(one.status.conditions, LOADED)
        told = one.status.instances
        return {
            "namespace": key.namespace,
            "name": key.name,
            "loaded": loaded.status if loaded is not None else "Unknown",
            "serving": one.status.serving_revision,
            "wanted": told.wanted,
            "ready": told.ready,
            "draining": told.draining,
            "inHand": in_hand,
            "waiting": waiting,
            "perMinute": len(lately),
            "failed": sum(entry.outcome != "ok" for entry in lately),
            "cold": sum(entry.is_cold for entry in lately),
            "reason": one.status.reason,
        }


def _first[O: (Function, Route, Trigger, Workflow)](objects: Iterable[O]) -> list[O]:
    ordered = sorted(objects, key=lambda one: (one.metadata.namespace, one.metadata.name))
    return ordered[:SHOWN_MAX]


def _workflow(one: Workflow) -> dict[str, Any]:
    return {
        "namespace": one.metadata.namespace,
        "name": one.metadata.name,
        "steps": len(one.spec.steps),
        "running": one.status.running,
        "message": _message(one.status.conditions),
    }


def _route(one: Route) -> dict[str, str]:
    spec = one.spec
    return {
        "what": f"{','.join(spec.methods)} {spec.host}{spec.path}",
        "leads": f"to {one.metadata.namespace}/{spec.function}, {spec.delivery}",
        "message": _message(one.status.conditions),
    }


def _trigger(one: Trigger) -> dict[str, str]:
    spec = one.spec
    source = f"topic {spec.kafka.topic}" if spec.kafka is not None else "a schedule"
    if spec.cron is not None:
        source = f"times {spec.cron.schedule}"
    return {
        "what": source,
        "leads": f"to {one.metadata.namespace}/{spec.function}",
        "message": _message(one.status.conditions),
    }


def _message(conditions: Sequence[Condition]) -> str:
    found = condition_of(conditions, ACCEPTED)
    return found.message if found is not None else ""
