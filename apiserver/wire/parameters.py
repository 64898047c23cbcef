"""Query parameters: which are obeyed, and which Kubernetes knows and this server refuses by name.

Each route carries the checks of its parameters, so that a value is refused wherever it makes no
sense, and none is ignored. A parameter that neither knows is ignored, as Kubernetes ignores it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from cubernetes.api.errors import BadRequest, Invalid, Problem
from cubernetes.client.wire.logquery import flag
from cubernetes.client.wire.spans import NoSpan, span_s

type Tree = dict[str, Any]
type Query = Sequence[tuple[str, str]]
# Holds a parameter's value against what it may be. Raises: BadRequest, Invalid.
type Check = Callable[[str], None]

TEXT: Tree = {"type": "string"}
NUMBER: Tree = {"type": "integer", "minimum": 0}
TRUTH: Tree = {"type": "boolean"}
SPAN: Tree = {"type": "string", "format": "duration"}
MOMENT: Tree = {"type": "string", "format": "date-time"}
MANAGER_CHARS_MAX = 128


class Parameter(NamedTuple):
    """check returns why a value is refused, empty where it is none; by default as schema says."""

    name: str
    schema: Tree
    description: str
    check: Callable[[str], str] | None = None


def one_of(*values: str) -> Tree:
    return {"type": "string", "enum": list(values)}


def _manager_refusal(value: str) -> str:
    if len(value) > MANAGER_CHARS_MAX:
        return f"may not have more than {MANAGER_CHARS_MAX} characters"
    return "" if value.isprintable() else "should only contain printable characters"


PRETTY = Parameter("pretty", TRUTH, "Indent the JSON of the answer, for people.")
TIMEOUT = Parameter(
    "timeout", SPAN, "How long the server may take until it answers: 30s; 0 is its own limit."
)
COMMON = (PRETTY, TIMEOUT)
DRY_RUN = Parameter("dryRun", one_of("All"), "Decide and answer, but write nothing.")
MANAGER = Parameter(
    "fieldManager",
    TEXT | {"maxLength": MANAGER_CHARS_MAX},
    "The name of the writer; it is kept of objects that somebody applies on the server.",
    _manager_refusal,
)
FORCE = Parameter("force", TRUTH, "Of an apply: take fields from others who own them.")
REVISION = Parameter("resourceVersion", TEXT, "Not older than this; 0 is whatever is at hand.")
CHOICE = (
    Parameter("labelSelector", TEXT, "Only objects with these labels: app=web,tier in (a,b),!old"),
    Parameter("fieldSelector", TEXT, "Only objects with these fields: spec.nodeName=n1"),
)
INCLUDED = Parameter(
    "includeObject",
    one_of("None", "Metadata", "Object"),
    "What a row of a table has of its object.",
)
WRITE = (
    *COMMON,
    DRY_RUN,
    MANAGER,
    Parameter(
        "fieldValidation",
        one_of("Strict", "Warn", "Ignore"),
        "Whether an unknown field is refused, warned of (the default), or dropped in silence.",
    ),
)
# For what is read strictly always.
STRICT_WRITE = (*COMMON, DRY_RUN, MANAGER)
_DEADLINE = Parameter(
    "timeoutSeconds", NUMBER, "How long the call may take; 0 leaves it to the server."
)
DELETE = (
    *COMMON,
    DRY_RUN,
    Parameter("gracePeriodSeconds", NUMBER, "How long a pod may take to end; 0 is at once."),
    Parameter(
        "propagationPolicy",
        one_of("Background", "Foreground", "Orphan"),
        "Whether what it owns goes after it, before it, or stays.",
    ),
    Parameter("orphanDependents", TRUTH, "The older way to say Orphan."),
)
LIST = (
    *COMMON,
    *CHOICE,
    Parameter("limit", NUMBER, "How many objects to give at most; the rest is behind `continue`."),
    Parameter("continue", TEXT, "Where the page before ended, as its metadata says."),
    REVISION,
    Parameter(
        "resourceVersionMatch",
        one_of("Exact", "NotOlderThan"),
        "How the list must relate to resourceVersion.",
    ),
    Parameter("watch", TRUTH, "Give changes as they come, one JSON object a line."),
    Parameter("allowWatchBookmarks", TRUTH, "A watch also tells how far it has come."),
    Parameter("timeoutSeconds", NUMBER, "When a watch ends; how long a list may take."),
    INCLUDED,
)
OF_VERBS: Mapping[str, tuple[Parameter, ...]] = {
    "get": (*COMMON, REVISION, INCLUDED),
    "list": LIST,
    "create": WRITE,
    "update": WRITE,
    "patch": (*WRITE, FORCE),
    "delete": DELETE,
    "deletecollection": (*CHOICE, *DELETE, _DEADLINE),
}
# What Kubernetes 1.36 documents for each verb and is not obeyed here. A value that asks for nothing
# (empty, 0, false, or what is said beside the name) is taken, any other is refused.
REFUSED: Mapping[str, Mapping[str, str]] = {
    "get": {"resourceVersionMatch": ""},
    "list": {"sendInitialEvents": "", "shardSelector": ""},
    "delete": {"ignoreStoreReadErrorWithClusterBreakingPotential": ""},
    "deletecollection": {
        "continue": "",
        "ignoreStoreReadErrorWithClusterBreakingPotential": "",
        "limit": "",
        "resourceVersion": "",
        "resourceVersionMatch": "",
        "sendInitialEvents": "",
        "shardSelector": "",
    },
}
NOTHING = frozenset({"", "0", "false", "False"})
FORBIDDEN = "FieldValueForbidden"


def check(query: Query, checks: Mapping[str, Check]) -> None:
    """Refuse what a route cannot obey.

    Raises: BadRequest, Invalid: names the parameter.
    """
    for name, value in query:
        if name in checks:
            checks[name](value)


def checks_of(obeyed: Iterable[Parameter], refused: Mapping[str, str]) -> Mapping[str, Check]:
    """Return what the values of each parameter are held against."""
    unmet = {name: partial(_check_unmet, name, harmless) for name, harmless in refused.items()}
    return unmet | {one.name: partial(_check_value, one) for one in obeyed}


def _check_unmet(name: str, harmless: str, value: str) -> None:
    """Raises: Invalid: as Kubernetes refuses an option that it knows and does not take."""
    if value not in NOTHING and value != harmless:
        problem = Problem(name, "is not supported by this server: leave it out", FORBIDDEN)
        raise Invalid(f"{name}: {problem.message}", problems=[problem])


def _check_value(one: Parameter, value: str) -> None:
    """Hold a value against its own check or its schema; an empty one of other types is absent."""
    if one.schema["type"] == "boolean":
        flag(one.name, value)
        return
    why = one.check(value) if one.check is not None else _schema_refusal(one.schema, value)
    if value and why:
        raise BadRequest(f"{one.name}: {why}")


def _schema_refusal(schema: Tree, value: str) -> str:
    if choices := schema.get("enum"):
        listed = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
        return "" if value in choices else f"must be {listed}"
    if schema["type"] == "integer":
        is_number = value.isascii() and value.isdigit()
        return "" if is_number else "must be a whole number that is not negative"
    return _span_refusal(value) if schema.get("format") == "duration" else ""


def _span_refusal(value: str) -> str:
    try:
        span_s(value)
    except NoSpan as error:
        return str(error)
    return ""


def deadline_s(query: Query, checks: Mapping[str, Check], most_s: float) -> float:
    """Return within what time a call is to be answered: what it asks for, and at most most_s."""
    if not query:
        return most_s
    asked = {name: value for name, value in reversed(query) if name in checks}
    spans = (span_s(asked.get(TIMEOUT.name) or "0"), float(asked.get(_DEADLINE.name) or "0"))
    return min([most_s, *(one for one in spans if one)])


def is_pretty(query: Query) -> bool:
    """Whether the answer is for people, errors included; nonsense is refused elsewhere."""
    asked = next((value for name, value in query if name == PRETTY.name), "false")
    try:
        return flag(PRETTY.name, asked)
    except BadRequest:
        return False
