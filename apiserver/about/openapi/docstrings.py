"""What a model's docstring says: of itself, then of its fields, each in a line `field: text`."""

import inspect
import re
from collections.abc import Mapping
from itertools import batched
from typing import NamedTuple

from cubernetes.api.meta import Model, Object

# One field, or several of which the same can be said; what goes on below is indented.
_FIELDS = re.compile(r"^(\w+(?:, \w+)*): ", re.MULTILINE)


class Told(NamedTuple):
    """What is said of a model, and of its fields by their names in Python."""

    summary: str
    fields: Mapping[str, str]


def told_by(model: type[Model]) -> Told:
    """Return what a model says; a field that it says nothing of is as in every object.

    A kind is one file: where its class says nothing of itself, the file does.
    """
    own = _read(model.__doc__ or "")
    summary = own.summary
    if not summary and issubclass(model, Object):
        module = inspect.getmodule(model)
        told = _one_line((module and module.__doc__) or "")
        summary = _sentence(told.removeprefix(f"{model.__name__}: "))
    above = (Object, *(one for one in reversed(model.__mro__) if issubclass(one, Model)))
    fields = {name: text for one in above for name, text in _read(one.__doc__ or "").fields.items()}
    return Told(summary, fields)


def _read(docstring: str) -> Told:
    summary, *told = _FIELDS.split(inspect.cleandoc(docstring))
    fields = {
        name: _sentence(_one_line(text))
        for names, text in batched(told, 2)
        for name in names.split(", ")
    }
    return Told(_one_line(summary), fields)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
