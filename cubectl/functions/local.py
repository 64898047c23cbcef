"""`cubectl function run`: a function's files are called here, by the runner of instances."""

import base64
import json
import os
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from cubectl.functions.given import body_of, files_of, first_module, pair
from cubectl.functions.telling import say_answer
from cubectl.output.printers import safe, safe_lines
from cubectl.session import Failed, Misused, Session
from cubernetes.host.timing import moment

# Run by its name: the runner is no part of cubectl, as it is none where it runs in an instance.
RUNNER = "serverless.runtime.local"
LOOK_S = 0.2
TIMEOUT_S = 30
# What an instance's code finds of this machine's environment.
KEPT_VARIABLES = ("PATH", "LANG", "TMPDIR", "PYTHONPATH")


def run_here(paths: Sequence[Path], options: Namespace, session: Session) -> None:
    """Load and call a function once; with --watch again at each change, until Ctrl-C."""
    if options.secret:
        raise Misused("run reads no Secrets: give their variables by --env")
    if not options.watch:
        _once(paths, options, session)
        return
    while True:
        seen = stamps_of(paths)
        session.say(f"== {session.now():%H:%M:%S}")
        try:
            _once(paths, options, session)
        except Failed as error:
            session.tell(f"error: {error}")
        session.out.flush()
        while stamps_of(paths) == seen:
            moment.sleep(LOOK_S)


def stamps_of(paths: Sequence[Path]) -> dict[str, int]:
    """Return when each file was changed; one that is being replaced is absent."""
    found: dict[str, int] = {}
    for path in paths:
        inside = path.rglob("*") if path.is_dir() else (path,)
        for one in inside:
            try:
                if one.is_file() and "__pycache__" not in one.parts:
                    found[str(one)] = one.stat().st_mtime_ns
            except OSError:
                continue
    return found


def _once(paths: Sequence[Path], options: Namespace, session: Session) -> None:
    """Raises: Failed: it cannot be loaded, or its call failed."""
    files, body = files_of(list(paths)), body_of(options)
    timeout_s = options.timeout or TIMEOUT_S
    env = dict(pair(one) for one in options.env)
    head: dict[str, Any] = {
        "call": "local",
        "method": "POST" if body else "GET",
        "path": "/",
        "params": [pair(one) for one in options.param],
        "variables": {},
        "headers": {},
        "timeout_s": timeout_s,
        "deadline_ms": int((session.now().timestamp() + timeout_s) * 1000),
    }
    entry = options.entry or f"{first_module(files)}.action"
    asked = {
        "code": {"files": files, "entry": entry, "env": env},
        "call": head,
        "body": base64.b64encode(body).decode(),
    }
    out, printed = _ran(json.dumps(asked).encode(), timeout_s, session.environment)
    session.err.write(safe_lines(printed.decode(errors="replace")))
    try:
        answer: dict[str, Any] = json.loads(out)
    except ValueError:
        raise Failed("the process ended before it answered (exit, crash or memory)") from None
    _say(answer, session)


def _say(answer: Mapping[str, Any], session: Session) -> None:
    head, body = answer["head"], base64.b64decode(answer["body"])
    match head["outcome"]:
        case "ok":
            say_answer(head["status"], body, session)
        case "onward":
            onward = head["onward"]
            params = json.dumps(dict(onward["params"]))
            session.say(f"invokes {safe(onward['function'])} with {safe(params)}")
        case "unloadable":
            session.err.write(safe_lines(head["error"]))
            raise Failed("the function cannot be loaded")
        case _:
            raise Failed(safe(head["error"]))


def _ran(asked: bytes, timeout_s: float, environment: Mapping[str, str]) -> tuple[bytes, bytes]:
    """Return what the runner answered and what the code printed. Raises: Failed: too late."""
    kept = {name: environment[name] for name in KEPT_VARIABLES if name in environment}
    # Files: a pipe would have no end as long as something that the code started holds it.
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as printed:
        given.write(asked)
        given.seek(0)
        # -P: a folder here that has the name of a module is not taken for it.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", RUNNER],
            stdin=given,
            stdout=out,
            stderr=printed,
            env=kept,
            start_new_session=True,
        )
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"the call took longer than {timeout_s:g} s and was ended") from error
        finally:
            # With all that it has started, also where it has ended itself.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out.seek(0)
        printed.seek(0)
        return out.read(), printed.read()
