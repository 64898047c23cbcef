"""What a verb is: a name, its arguments, and what it does with a session."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass

from cubectl.session import Misused, Session

UNITS_S = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Verb:
    """run prints to the session, and raises where it cannot go on."""

    name: str
    summary: str
    configure: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Session], None]


def add_selection(parser: ArgumentParser, *, fields: bool = True) -> None:
    """Let a verb take objects by label and by field, instead of by name."""
    parser.add_argument("-l", "--selector", default="", metavar="LABELS", help="such as app=web")
    if fields:
        told = "such as status.phase=Running"
        parser.add_argument("--field-selector", default="", metavar="FIELDS", help=told)


def selection_of(options: Namespace) -> dict[str, str]:
    """Return the selection as a query; empty where there is none."""
    asked = {
        "labelSelector": options.selector,
        "fieldSelector": getattr(options, "field_selector", ""),
    }
    return {key: value for key, value in asked.items() if value}


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


def span_s(text: str) -> float:
    """Return seconds for `30`, `30s`, `2m`, `1h`. Raises: Misused."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS_S else (text, "s")
    try:
        return float(number) * UNITS_S[unit]
    except ValueError as error:
        raise Misused(f"{text!r} is not a span such as 30s, 2m or 1h") from error
