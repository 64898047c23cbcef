"""What `cubectl function` tells: dead letters, a call's story, and why so many instances."""

from argparse import Namespace
from typing import Any
from urllib.parse import quote, urlencode

from cubectl.functions.way import asked, target_of
from cubectl.output.printers import safe, safe_lines
from cubectl.session import Failed, Session


def say_dead(name: str, options: Namespace, session: Session) -> None:
    """Print the dead letters of a function, the oldest first."""
    for one in asked(options, session, "GET", f"{target_of(name, session)}/dead"):
        redriven = f", redriven as {one['redriven']} ({one['state']})" if one["redriven"] else ""
        whole = "" if one["isWhole"] else ", its body was not kept"
        head = f"{one['at']} {one['call']} {one['source']}, {one['attempts']} attempts"
        session.say(safe(head + whole + redriven))
        session.say(safe_lines(f"  {one['error']}").removesuffix("\n"))


def redrive(name: str, call: str, options: Namespace, session: Session) -> None:
    """Call a function with its dead letters again."""
    query = f"?{urlencode({'call': call})}" if call else ""
    done = asked(options, session, "POST", f"{target_of(name, session)}/redrive{query}")
    for one in done:
        session.say(safe(f"{one['call']} redriven as {one['redriven']}"))
    session.say(f"{len(done)} dead letters redriven")


def say_answer(status: int, body: bytes, session: Session) -> None:
    """Print what a function answered. Raises: Failed: it failed."""
    text = body.decode(errors="replace")
    if status >= 400:
        session.err.write(safe_lines(text))
        raise Failed(f"the call ended with {status}")
    session.say(text.removesuffix("\n"))


def cancel(call: str, options: Namespace, session: Session) -> None:
    """End a call that has not ended."""
    told = asked(options, session, "DELETE", f"/calls/{quote(call, safe='')}")
    if told["state"] != "cancelled":
        raise Failed(f"call {call} has not ended yet: it is {safe(told['state'])}; ask again")
    session.say(f"call {call} cancelled")


def say_trace(call: str, options: Namespace, session: Session) -> None:
    """Print what is known of a call."""
    told: dict[str, Any] = asked(options, session, "GET", f"/calls/{quote(call, safe='')}/trace")
    outcome = f", {told['outcome']} with {told['status']}" if "outcome" in told else ""
    session.say(safe(f"call {told['call']}: {told['state']}{outcome}"))
    if told.get("name"):
        session.say(safe(f"function {told['namespace']}/{told['name']}"))
    for number, failure in enumerate(told.get("failures") or (), 1):
        session.say(safe(f"{failure['at']} attempt {number} failed: {failure['error']}"))
    if told.get("at"):
        session.say(safe(f"{told['at']} ended after {told['attempts']} attempts"))
    for one in told["runs"]:
        span = f"{one['outcome']} {one['milliseconds']:g} ms"
        head = f"{one['at']} {one['function']} {span} {one['revision']}"
        session.say(f"== {safe(head)}")
        if one["text"]:
            session.say(safe_lines(one["text"]).removesuffix("\n"))


def say_why(name: str, options: Namespace, session: Session) -> None:
    """Print why a function has so many instances."""
    told = asked(options, session, "GET", f"{target_of(name, session)}/why")
    counts = f"{told['ready']} of {told['wanted']} instances ready, {told['draining']} draining"
    session.say(f"{counts}; {told['inHand']} calls in hand, {told['waiting']} of them wait")
    session.say(f"because: {safe(told['reason'])}")
    if told["waitsFor"]:
        session.say(f"waits for: {safe(told['waitsFor'])}")
    for one in told["decisions"]:
        head = f"{one['at']} wanted {one['wanted']} with {one['inHand']} in hand: {one['reason']}"
        session.say(safe(head))
