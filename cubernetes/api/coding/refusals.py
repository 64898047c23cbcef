"""How a refusal of an object reads: every problem in Kubernetes' words, with its value."""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

import msgspec

from cubernetes.api.custom.objects import CustomObject
from cubernetes.api.errors import Invalid, Problem

# So many problems of one object are told, and as much of its name and of a value: an answer is for
# people.
PROBLEMS_MAX = 50
NAME_CHARS_MAX = 253
VALUE_CHARS_MAX = 200
# What Kubernetes' field errors begin with, by the reason of the cause; tools look for these words.
_BEGINNINGS = {
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueNotFound": "Not found",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
}
_VALUELESS = ("FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong")
# Where values are nobody else's to read: a refusal stands in logs of clients and of the audit.
_CONFIDENTIAL = {"Secret": re.compile(r"(?:data|stringData)(?:[.\[]|\Z)")}
_STEP = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")
_ABSENT = object()


def found(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems that are told: what is wrong beyond them is not even looked for."""
    return list(islice(problems, PROBLEMS_MAX))


def invalid(kind: str, name: str, problems: Iterable[Problem], of: object = None) -> Invalid:
    """Return the refusal that names every problem with its field.

    kind: as Kubernetes qualifies it, `Pod` or `ReplicaSet.apps`. of: the tree or the model that the
    problems are about, from which values are quoted, but for the data of Secrets.
    """
    hidden = _CONFIDENTIAL.get(kind)
    told = [
        one._replace(message=one.message.partition(", not ")[0]) if _is_hidden(one, hidden) else one
        for one in found(problems)
    ]
    whole = of.tree() if isinstance(of, CustomObject) else of
    tree = whole if isinstance(of, dict) else msgspec.to_builtins(whole, enc_hook=str)
    causes = [
        one._replace(message=_sentence(one, _ABSENT if _is_hidden(one, hidden) else tree))
        for one in told
    ]
    listed = ", ".join(f"{one.field}: {one.message}" for one in causes)
    message = listed if len(causes) == 1 else f"[{listed}]"
    name, (plain, _, group) = name[:NAME_CHARS_MAX], kind.partition(".")
    return Invalid(
        f'{kind} "{name}" is invalid: {message}',
        kind=plain,
        group=group,
        name=name,
        problems=causes,
    )


def _is_hidden(problem: Problem, hidden: re.Pattern[str] | None) -> bool:
    return hidden is not None and hidden.match(problem.field) is not None


def _sentence(problem: Problem, tree: object) -> str:
    beginning = _BEGINNINGS.get(problem.reason, "Invalid value")
    if problem.reason not in _VALUELESS:
        value = _ABSENT if tree is _ABSENT else _value_at(tree, problem.field)
        if value is not _ABSENT:
            beginning += f": {_quoted(value)}"
    return f"{beginning}: {problem.message}" if problem.message else beginning


def _value_at(tree: object, path: str) -> object:
    """Return the value at `spec.containers[0].name`; _ABSENT where there is none."""
    value: Any = tree
    for match in _STEP.finditer(path):
        key, index = match[1], match[2]
        if key is not None and isinstance(value, dict) and key in value:
            value = value[key]
        elif index is not None and isinstance(value, list | tuple) and int(index) < len(value):
            value = value[int(index)]
        else:
            return _ABSENT
    return value


def _quoted(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}..."
