"""`cubectl workflow`: begin runs, tell what they do, and cancel, resume and signal them."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from cubectl.functions.way import asked
from cubectl.output.printers import safe, safe_lines
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb

ASK_S = 10
WAIT_S_MAX = 24 * 3600
# What is asked for, and the words that follow it.
WORDS = {
    "start": ("NAME", 1),
    "list": ("[NAME]", 0),
    "show": ("RUN", 1),
    "cancel": ("RUN", 1),
    "resume": ("RUN", 1),
    "signal": ("RUN SIGNAL", 2),
}


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("what", choices=tuple(WORDS))
    parser.add_argument("words", nargs="*", metavar="NAME | RUN | RUN SIGNAL")
    parser.add_argument(
        "-d", "--data", default="", metavar="JSON", help="start, signal: what it is given, or @FILE"
    )
    parser.add_argument("--key", default="", help="start: the same key is the same run")
    parser.add_argument("--from", dest="from_step", default="", metavar="STEP", help="resume")
    parser.add_argument(
        "--wait", type=int, default=0, metavar="SECONDS", help="start, show, resume: for the end"
    )
    parser.add_argument(
        "--at", default="", metavar="HOST:PORT", help="of serverless, if not beside the API server"
    )


def run(options: Namespace, session: Session) -> None:
    told, count = WORDS[options.what]
    words = options.words
    if len(words) < count or len(words) > max(count, 1):
        raise Misused(f"write {options.what} {told}")
    if not 0 <= options.wait <= WAIT_S_MAX:
        raise Misused(f"--wait {options.wait}: at most {WAIT_S_MAX} seconds")
    DOES[options.what](options, session)


def _start(options: Namespace, session: Session) -> None:
    query = f"?{urlencode({'key': options.key})}" if options.key else ""
    target = f"/workflows/{_quoted(session.namespace)}/{_quoted(options.words[0])}/start{query}"
    run_id = asked(options, session, "POST", target, _data(options))["run"]
    if not options.wait:
        session.say(safe(run_id))
        return
    _say_run(_ended(run_id, options, session), session)


def _list(options: Namespace, session: Session) -> None:
    query = {"namespace": session.namespace, "workflow": "".join(options.words)}
    for one in asked(options, session, "GET", f"/runs?{urlencode(query)}"):
        took = f", {one['milliseconds']} ms" if one["milliseconds"] is not None else ""
        error = f": {one['error']}" if one["error"] else ""
        head = f"{one['startedAt']} {one['run']} {one['workflow']} {one['state']}{took}{error}"
        session.say(safe(head))


def _show(options: Namespace, session: Session) -> None:
    _say_run(_ended(options.words[0], options, session), session)


def _cancel(options: Namespace, session: Session) -> None:
    asked(options, session, "POST", _target(options.words[0], "/cancel"))
    session.say(safe(f"run {options.words[0]} is cancelled"))


def _resume(options: Namespace, session: Session) -> None:
    query = f"?{urlencode({'from': options.from_step})}" if options.from_step else ""
    asked(options, session, "POST", _target(options.words[0], "/resume") + query)
    if options.wait:
        _say_run(_ended(options.words[0], options, session), session)
        return
    session.say(safe(f"run {options.words[0]} is resumed"))


def _signal(options: Namespace, session: Session) -> None:
    run_id, signal = options.words
    target = _target(run_id, f"/signal/{_quoted(signal)}")
    asked(options, session, "POST", target, _data(options))
    session.say(safe(f"run {run_id} has the signal {signal}"))


def _ended(run_id: str, options: Namespace, session: Session) -> dict[str, Any]:
    """Return a run, once it has ended or nobody wants to wait any longer."""
    until_s = session.monotonic() + options.wait
    while True:
        wait_s = min(ASK_S, max(0, round(until_s - session.monotonic())))
        target = _target(run_id, f"?wait={wait_s}")
        told: dict[str, Any] = asked(options, session, "GET", target)
        if told["state"] != "running" or wait_s == 0:
            return told


def _say_run(told: dict[str, Any], session: Session) -> None:
    """Print a run and its steps. Raises: Failed: it has not succeeded."""
    took = f" in {told['milliseconds']} ms" if told["milliseconds"] is not None else ""
    session.say(safe(f"run {told['run']} of {told['workflow']}: {told['state']}{took}"))
    for one in told["steps"]:
        session.say(safe(f"  {_step_line(one)}"))
        for call in one["calls"]:
            item = "" if call["item"] is None else f" item {call['item']}"
            attempts = f", {call['attempts']} attempts" if call.get("attempts", 1) > 1 else ""
            session.say(safe(f"     {call['call']}{item} {call['state']}{attempts}"))
    if told["state"] == "succeeded":
        session.say(safe_lines(json.dumps(told["output"], ensure_ascii=False)).rstrip("\n"))
    elif told["state"] != "running":
        raise Failed(f"run {safe(told['run'])} {safe(told['state'])}: {safe(told['error'])}")


def _step_line(one: Mapping[str, Any]) -> str:
    what = f" {one['function']}" if one["function"] else ""
    items = f" {one['done']}/{one['items']}" if one["items"] else ""
    took = f", {one['milliseconds']} ms" if one["milliseconds"] is not None else ""
    error = f": {one['error']}" if one["error"] else ""
    return f"{one['name']} ({one['kind']}{what}{items}): {one['state']}{took}{error}"


def _data(options: Namespace) -> bytes:
    """Return the JSON that is sent. Raises: Failed, Misused."""
    try:
        body = Path(options.data[1:]).read_bytes() if options.data.startswith("@") else None
    except OSError as error:
        raise Failed(str(error)) from error
    body = options.data.encode() if body is None else body
    try:
        if body:
            json.loads(body)
    except ValueError as error:
        raise Misused(f"--data must be JSON: {error}") from error
    return body


def _target(run_id: str, rest: str = "") -> str:
    return f"/runs/{_quoted(run_id)}{rest}"


def _quoted(text: str) -> str:
    return quote(text, safe="")


DOES: Mapping[str, Callable[[Namespace, Session], None]] = {
    "start": _start,
    "list": _list,
    "show": _show,
    "cancel": _cancel,
    "resume": _resume,
    "signal": _signal,
}

VERB = Verb(configure, run)
