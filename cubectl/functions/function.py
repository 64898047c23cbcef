"""`cubectl function`: deploy code and go back, call it, tell what became of calls."""

import json
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from cubectl.functions.given import body_of, files_of, first_module, pair
from cubectl.functions.local import run_here
from cubectl.functions.telling import (
    cancel,
    redrive,
    say_answer,
    say_dead,
    say_trace,
    say_why,
)
from cubectl.functions.traffic import is_pinned, roll_back, set_traffic, split_text
from cubectl.functions.verdicts import await_verdict, condition_in
from cubectl.functions.way import admin_of, asked, target_of
from cubectl.output.printers import safe, safe_lines
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubernetes.api.errors import NotFound
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.serverless.function import Function
from cubernetes.api.serverless.route import Route
from cubernetes.client.wire.queries import selection_query

API_VERSION = "serverless.cubernetes.io/v1"
FUNCTIONS, ROUTES = Function.resource, Route.resource
# What is asked for, and the words that follow it.
WORDS = {
    "deploy": ("NAME", "FILE ..."),
    "run": ("FILE", "[FILE ...]"),
    "rollback": ("NAME", "[REVISION]"),
    "traffic": ("NAME", "[REVISION=PERCENT,...]"),
    "invoke": ("NAME", ""),
    "result": ("CALL", ""),
    "cancel": ("CALL", ""),
    "logs": ("NAME", ""),
    "trace": ("CALL", ""),
    "why": ("NAME", ""),
    "dead": ("NAME", ""),
    "redrive": ("NAME", "[CALL]"),
    "list": ("", ""),
}
RESULT_WAIT_S_MAX = 60
# Numbers of the spec that an option sets, by the option.
NUMBERS = {
    "concurrency": "concurrency",
    "min": "minInstances",
    "max": "maxInstances",
    "idle": "idleSeconds",
    "timeout": "timeoutSeconds",
}
_ROUTE = re.compile(r"(?:([A-Z]+(?:,[A-Z]+)*):)?(/\S*)\Z")


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("what", choices=tuple(WORDS))
    parser.add_argument("words", nargs="*", metavar="NAME | NAME FILE ... | CALL")
    deploy = parser.add_argument_group("deploy")
    deploy.add_argument("--entry", default="", help="module.function; default: FILE's action")
    deploy.add_argument("--route", default="", metavar="[METHOD,...:]PATH", help="as GET:/hello")
    deploy.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    told = "a variable with the value of a Secret's key"
    deploy.add_argument(
        "--secret", action="append", default=[], metavar="ENV=SECRET/KEY", help=told
    )
    deploy.add_argument("--resources", choices=("small", "medium", "large"))
    for option, field in NUMBERS.items():
        deploy.add_argument(f"--{option}", type=int, metavar="N", help=f"spec.{field}")
    invoke = parser.add_argument_group("invoke, and run, which takes --entry, --env, --timeout too")
    invoke.add_argument("-p", "--param", action="append", default=[], metavar="NAME=VALUE")
    invoke.add_argument("-d", "--data", default="", help="the body, or @FILE")
    invoke.add_argument(
        "--async", dest="is_async", action="store_true", help="accept the call and print its id"
    )
    told = "call it again whenever one of the files has changed"
    parser.add_argument_group("run").add_argument("--watch", action="store_true", help=told)
    result = parser.add_argument_group("result")
    result.add_argument("--wait", type=int, default=0, metavar="SECONDS", help="at most 60")
    logs = parser.add_argument_group("logs")
    logs.add_argument("--call", default="", help="of this call alone")
    both = parser.add_argument_group("all but deploy, run, rollback, traffic and list")
    both.add_argument(
        "--at", default="", metavar="HOST:PORT", help="of serverless, if not beside the API server"
    )


def run(options: Namespace, session: Session) -> None:
    DOES[options.what](_name_in(options), options, session)


def _name_in(options: Namespace) -> str:
    """Return the function's name. Raises: Misused: too few or too many words."""
    words, what = options.words, options.what
    first, more = WORDS[what]
    if not first:
        if words:
            raise Misused("list takes no names: cubectl get function NAME shows one")
        return ""
    if not words or (what == "deploy" and len(words) < 2):
        raise Misused(f"write {what} {first} {more}".rstrip())
    if what not in ("deploy", "run") and len(words) > (2 if more else 1):
        raise Misused(f"{what} takes one {first} {more}".rstrip())
    return str(words[0])


def _second(options: Namespace) -> str:
    return str(options.words[1]) if len(options.words) > 1 else ""


def _deploy(name: str, options: Namespace, session: Session) -> None:
    files = files_of([Path(one) for one in options.words[1:]])
    entry = options.entry or f"{first_module(files)}.action"
    wanted = _kept(name, options, session, files, entry)
    route = _route_of(name, options, session.namespace) if options.route else None
    revision = wanted["metadata"].get("resourceVersion")
    if revision is None:
        found = session.api.create(FUNCTIONS, wanted, session.namespace, is_dry=False)
    else:
        found = session.api.replace(FUNCTIONS, name, wanted, session.namespace, is_dry=False)
    told = "created" if revision is None else "configured"
    session.say(f"function/{name} {told}")
    if route is not None:
        _put_route(route, session)
    _await_code(found, session)
    if is_pinned(found):
        told = f"cubectl function traffic {name} latest"
        session.say(f"function/{name}: calls go on as spec.traffic says; to the new code: {told}")
    if route is not None:
        _await_route(name, session)


def _run_here(_: str, options: Namespace, session: Session) -> None:
    run_here([Path(one) for one in options.words], options, session)


def _redrive(name: str, options: Namespace, session: Session) -> None:
    redrive(name, _second(options), options, session)


def _roll_back(name: str, options: Namespace, session: Session) -> None:
    roll_back(name, _second(options), session)


def _split(name: str, options: Namespace, session: Session) -> None:
    set_traffic(name, _second(options), session)


def _kept(
    name: str, options: Namespace, session: Session, files: dict[str, str], entry: str
) -> Tree:
    """Return the function as it is to be: what no option names stays as it is."""
    try:
        tree = session.api.get(FUNCTIONS, name, session.namespace)
    except NotFound:
        tree = {
            "apiVersion": API_VERSION,
            "kind": FUNCTIONS.kind,
            "metadata": {"name": name, "namespace": session.namespace},
            "spec": {},
        }
    spec: dict[str, Any] = {**tree["spec"], "files": files, "entry": entry}
    if options.env:
        spec["env"] = dict(pair(one) for one in options.env)
    if options.secret:
        spec["secrets"] = [_secret(one) for one in options.secret]
    if options.resources:
        spec["resources"] = options.resources
    for option, field in NUMBERS.items():
        if getattr(options, option) is not None:
            spec[field] = getattr(options, option)
    return {**tree, "spec": spec}


def _route_of(name: str, options: Namespace, namespace: str) -> Tree:
    found = _ROUTE.match(options.route)
    if found is None:
        raise Misused(f"--route {options.route!r}: write PATH or METHOD,METHOD:PATH")
    methods = found[1].split(",") if found[1] else ["GET", "POST"]
    return {
        "apiVersion": API_VERSION,
        "kind": ROUTES.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"path": found[2], "methods": methods, "function": name},
    }


def _put_route(route: Tree, session: Session) -> None:
    name = route["metadata"]["name"]
    try:
        there = session.api.get(ROUTES, name, session.namespace)
    except NotFound:
        session.api.create(ROUTES, route, session.namespace, is_dry=False)
        session.say(f"route/{name} created")
        return
    changed = {**there, "spec": {**there["spec"], **route["spec"]}}
    session.api.replace(ROUTES, name, changed, session.namespace, is_dry=False)
    session.say(f"route/{name} configured")


def _await_code(function: Tree, session: Session) -> None:
    """Return when the code could be loaded. Raises: Failed: why it could not."""
    name, generation = function["metadata"]["name"], function["metadata"].get("generation", 0)

    def late(last: Tree) -> str:
        if last.get("message"):
            return f"function {name} is not loaded yet: {last['message']}"
        return (
            f"nobody has loaded function {name} yet: is serverless enabled "
            "(cuberoot enable serverless), and are its instances there?"
        )

    verdict = await_verdict(session, FUNCTIONS, name, "Loaded", late, generation=generation)
    if verdict["status"] == "False":
        session.err.write(safe_lines(verdict.get("message", "")))
        raise Failed(f"function {name} cannot be loaded; what it was before serves on")
    session.say(f"function/{name} loaded")


def _await_route(name: str, session: Session) -> None:
    """Return when the gateway knows the route. Raises: Failed."""
    late = f"nobody has accepted route {name} yet"
    verdict = await_verdict(session, ROUTES, name, "Accepted", lambda _: late)
    if verdict["status"] == "False":
        raise Failed(f"route {name}: {safe(verdict.get('message', ''))}")


def _invoke(name: str, options: Namespace, session: Session) -> None:
    query = urlencode([pair(one) for one in options.param])
    body = body_of(options)
    target = f"{target_of(name, session)}/invoke" + (f"?{query}" if query else "")
    if options.is_async:
        target += ("&" if query else "?") + "async=true"
    with closing(admin_of(options, session)) as admin:
        answer = admin.send("POST", target, body=body, media="application/octet-stream")
    if answer.status == 202 and options.is_async:
        session.say(str(json.loads(answer.body)["call"]))
        return
    say_answer(answer.status, answer.body, session)


def _result(call: str, options: Namespace, session: Session) -> None:
    """Print the result of an asynchronous call. Raises: Failed: it failed, or has none yet."""
    if not 0 <= options.wait <= RESULT_WAIT_S_MAX:
        raise Misused(f"--wait {options.wait}: at most {RESULT_WAIT_S_MAX} seconds")
    target = f"/calls/{quote(call, safe='')}?wait={options.wait}"
    with closing(admin_of(options, session)) as admin:
        answer = admin.send("GET", target)
    if answer.status == 202:
        state = json.loads(answer.body)["state"]
        raise Failed(f"call {call} has not ended: it is {safe(state)}")
    say_answer(answer.status, answer.body, session)


def _logs(name: str, options: Namespace, session: Session) -> None:
    query = f"?{urlencode({'call': options.call})}" if options.call else ""
    for one in asked(options, session, "GET", f"{target_of(name, session)}/logs{query}"):
        head = f"{one['at']} {one['call']} {one['outcome']} {one['milliseconds']:g} ms"
        session.say(f"== {safe(head)} {safe(one['revision'])}")
        if one["text"]:
            session.say(safe_lines(one["text"]).removesuffix("\n"))


def _list(_: str, __: Namespace, session: Session) -> None:
    for tree in session.api.list(FUNCTIONS, session.namespace, selection_query("", "")).items:
        status = tree.get("status") or {}
        counts = status.get("instances") or {}
        loaded = condition_in(status, "Loaded").get("status", "Unknown")
        told = f"{counts.get('ready', 0)}/{counts.get('wanted', 0)} instances"
        serving = status.get("servingRevision") or "nothing"
        split = split_text(status.get("traffic") or ())
        serving = split if "," in split else serving
        session.say(f"{tree['metadata']['name']}: loaded {loaded}, serves {serving}, {told}")


DOES: Mapping[str, Callable[[str, Namespace, Session], None]] = {
    "deploy": _deploy,
    "run": _run_here,
    "rollback": _roll_back,
    "traffic": _split,
    "invoke": _invoke,
    "result": _result,
    "cancel": cancel,
    "logs": _logs,
    "trace": say_trace,
    "why": say_why,
    "dead": say_dead,
    "redrive": _redrive,
    "list": _list,
}


def _secret(text: str) -> dict[str, str]:
    variable, equals, place = text.partition("=")
    name, slash, key = place.partition("/")
    if not all((variable, equals, name, slash, key)):
        raise Misused(f"{text!r}: write ENV=SECRET/KEY")
    return {"name": name, "key": key, "env": variable}


VERB = Verb(configure, run)
