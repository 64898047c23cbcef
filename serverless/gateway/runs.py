"""What administrators ask of workflows' runs: start, list, show, cancel, resume, signal."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from cubernetes.api.serverless.workflow import Step, Workflow, waits_for
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import Route
from serverless.durable.accept import NotAccepted
from serverless.gateway.answers import refusal
from serverless.gateway.lasting import NO_BROKER
from serverless.workflow.engine import Engine, NoRun, Unfitting
from serverless.workflow.machine import Found, look_at
from serverless.workflow.state import NO_ITEM, Run

RUNS_TOLD_MAX = 500
WAIT_S_MAX = 60

type Find = Callable[[str, str], Workflow | None]
type Ask = Callable[[Engine, Request], Awaitable[Any]]


class Runs:
    """Answers what is asked of runs; workflow finds one by its name and namespace."""

    def __init__(self, engine: Engine | None, workflow: Find) -> None:
        self._engine, self._workflow = engine, workflow

    def routes(self) -> list[Route]:
        return [
            ("POST", "/workflows/{namespace}/{name}/start", self._answering(self._start)),
            ("GET", "/runs", self._answering(self._list)),
            ("GET", "/runs/{run}", self._answering(self._show)),
            ("POST", "/runs/{run}/cancel", self._answering(self._cancel)),
            ("POST", "/runs/{run}/resume", self._answering(self._resume)),
            ("POST", "/runs/{run}/signal/{signal}", self._answering(self._signal)),
        ]

    def _answering(self, ask: Ask) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if self._engine is None:
                return refusal(503, NO_BROKER)
            try:
                told = await ask(self._engine, request)
            except NotAccepted as error:
                return refusal(error.status, str(error), is_later=error.is_later)
            except NoRun as error:
                return refusal(404, str(error)[:200])
            except Unfitting as error:
                return refusal(409, str(error)[:400])
            return Response(200, msgspec.json.encode(told))

        return answer

    async def _start(self, engine: Engine, request: Request) -> Any:
        names = dict(request.names)
        workflow = self._workflow(names["name"], names["namespace"])
        if workflow is None:
            raise NoRun(f"there is no workflow {names['namespace']}/{names['name']}")
        body = request.body or b"null"
        return {"run": await engine.start(workflow, body, request.parameter("key"))}

    async def _list(self, engine: Engine, request: Request) -> Any:
        namespace, name = request.parameter("namespace"), request.parameter("workflow")
        own = [
            one
            for one in engine.runs.values()
            if namespace in ("", one.started.namespace) and name in ("", one.started.workflow)
        ]
        own.sort(key=lambda one: (one.started.at_ms, one.id))
        return [told_of(one) for one in own[-RUNS_TOLD_MAX:]]

    async def _show(self, engine: Engine, request: Request) -> Any:
        wait = request.parameter("wait", "0")
        if not wait.isdecimal() or int(wait) > WAIT_S_MAX:
            raise NotAccepted(400, f"wait must be seconds, at most {WAIT_S_MAX}")
        return shown_of(await engine.wait(_run_in(request), int(wait)), engine)

    async def _cancel(self, engine: Engine, request: Request) -> Any:
        await engine.cancel(_run_in(request))
        return {"run": _run_in(request)}

    async def _resume(self, engine: Engine, request: Request) -> Any:
        await engine.resume(_run_in(request), request.parameter("from"))
        return {"run": _run_in(request)}

    async def _signal(self, engine: Engine, request: Request) -> Any:
        signal = dict(request.names)["signal"]
        await engine.signal(_run_in(request), signal, request.body or b"null")
        return {"run": _run_in(request)}


def _run_in(request: Request) -> str:
    return dict(request.names)["run"]


def told_of(run: Run) -> dict[str, Any]:
    """Return a run in short."""
    end = run.end
    return {
        "run": run.id,
        "namespace": run.started.namespace,
        "workflow": run.started.workflow,
        "state": end.outcome if end is not None else "running",
        "error": end.error if end is not None else "",
        "startedAt": _time(run.started.at_ms),
        "endedAt": _time(end.at_ms) if end is not None else "",
        "milliseconds": end.at_ms - run.started.at_ms if end is not None else None,
        "resumed": run.epoch,
    }


def shown_of(run: Run, engine: Engine) -> dict[str, Any]:
    """Return all that is known of a run."""
    look = look_at(run, engine.now_ms())
    told = told_of(run) | {"input": run.input, "output": run.output if run.end else None}
    told["steps"] = [
        _step(run, name, run.spec.steps[name], look.steps[name], engine) for name in run.before
    ]
    return told


def _step(run: Run, name: str, step: Step, found: Found, engine: Engine) -> dict[str, Any]:
    calls = [
        {"item": item, "call": fact.call, "state": "ok" if fact.is_ok else "failed",
         "attempts": fact.attempts, "error": fact.error, "endedAt": _time(fact.at_ms)}
        for (own, item), (fact, _) in sorted(run.ended.items())
        if own == name and fact.call and run.ended_of(own, item) is not None
    ]  # fmt: skip
    if run.end is None:
        calls += [
            {"item": one.item, "call": one.id, "state": engine.state_of(one.id) or "accepted"}
            for one in found.calls
        ]
    return {
        "name": name,
        "kind": _kind(step),
        "function": step.call,
        "after": waits_for(name, run.spec.steps),
        "state": found.state,
        "startedAt": _time(found.began_ms) if found.began_ms else "",
        "endedAt": _time(found.ended_ms) if found.ended_ms else "",
        "milliseconds": found.ended_ms - found.began_ms if found.ended_ms else None,
        "error": found.error,
        "output": found.output,
        "items": found.items,
        "done": found.done,
        "calls": [
            {**one, "item": None if one["item"] == NO_ITEM else one["item"]} for one in calls
        ],
    }


def _kind(step: Step) -> str:
    if step.call:
        return "each" if step.each else "call"
    return "wait" if step.wait_seconds else "signal" if step.signal else "value"


def _time(at_ms: int) -> str:
    told = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")
