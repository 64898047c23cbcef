"""What a verb is: its arguments, and what it does with a session."""

import re
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from typing import NamedTuple

from cubectl.api import Validation
from cubectl.session import Misused, Session
from cubernetes.client.wire import spans
from cubernetes.client.wire.queries import Query, selection_query

# A number without a unit is of seconds; Go wants one.
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)


class Verb(NamedTuple):
    """run prints to the session, and raises where it cannot go on."""

    configure: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Session], None]
    # Whether words behind `--` are a command of somebody else's; they become options.command.
    takes_command: bool = False


def add_selection(parser: ArgumentParser, *, fields: bool = True) -> None:
    """Let a verb take objects by label and by field, instead of by name."""
    parser.add_argument("-l", "--selector", default="", metavar="LABELS", help="such as app=web")
    if fields:
        told = "such as status.phase=Running"
        parser.add_argument("--field-selector", default="", metavar="FIELDS", help=told)


def selection_of(options: Namespace) -> Query:
    """Return the selection as a query; empty where there is none."""
    return selection_query(options.selector, getattr(options, "field_selector", ""))


def add_files(parser: ArgumentParser, *, is_required: bool = True) -> None:
    parser.add_argument(
        "-f",
        "--filename",
        action="append",
        default=[],
        required=is_required,
        metavar="FILE",
        help="a manifest, a folder of them, or - for stdin; may be repeated",
    )


VALIDATIONS: Mapping[str, Validation] = {
    "strict": "Strict",
    "true": "Strict",
    "warn": "Warn",
    "ignore": "Ignore",
    "false": "Ignore",
}


def add_validation(parser: ArgumentParser) -> None:
    """Let a verb say what becomes of fields that the server does not know, in kubectl's words."""
    parser.add_argument(
        "--validate",
        choices=sorted(VALIDATIONS),
        default="strict",
        help="what becomes of unknown fields: refused (strict), left out (warn, ignore)",
    )


def pair_in(word: str, flag: str) -> tuple[str, str]:
    """Return the key and the value of a word of a flag. Raises: Misused."""
    key, sign, text = word.partition("=")
    if not key or not sign:
        raise Misused(f"{flag}: {word[:80]!r}: write KEY=VALUE")
    return key, text


def add_common(parser: ArgumentParser, *, is_main: bool) -> None:
    """Add the options that may stand before and behind the verb; behind it they win."""
    group = parser.add_argument_group("where")
    for flags, told in (
        (("-n", "--namespace"), "instead of the kubeconfig's"),
        (("--kubeconfig",), "a file; else $KUBECONFIG, else ~/.kube/config"),
        (("--context",), "one of the kubeconfig's"),
        (("--server",), "https://address:port, instead of the kubeconfig's"),
        (("--request-timeout",), "for one answer (default 30s)"),
    ):
        default = "30s" if flags[0] == "--request-timeout" else ""
        group.add_argument(*flags, default=default if is_main else SUPPRESS, help=told)


def span_s(text: str) -> float:
    """Return seconds for `30`, `500ms`, `1m30s`, `1h`: as Go writes spans. Raises: Misused."""
    try:
        return spans.span_s(f"{text}s" if _SECONDS.fullmatch(text) else text)
    except spans.NoSpan as error:
        raise Misused(str(error)) from error
