"""FunctionRevision: the code of a function as it was at one time; it never changes.

The platform makes one for each code that a Function has had, and keeps those that serve.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.condition import Condition, condition_of
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Count, Model, Object, age_of, immutable, shown
from cubernetes.api.resource import Resource
from cubernetes.api.serverless.function import (
    LOADED,
    SecretVariable,
    code_problems,
    secret_problems,
)


class FunctionRevisionSpec(Model):
    """What a call depends on.

    function: the Function, in the same namespace.
    runtime: the language.
    files: the code, text by path.
    entry: the module and the function in it that is called.
    env: environment variables.
    secrets: environment variables with values of Secrets.
    """

    function: str
    runtime: Literal["python"] = shown("python")
    files: Mapping[str, str]
    entry: str = shown("action.action")
    env: Mapping[str, str] = msgspec.field(default_factory=dict)
    secrets: tuple[SecretVariable, ...] = ()


class FunctionRevisionStatus(Model):
    """What has been found.

    load_milliseconds: how long the code took to load, the first time.
    conditions: `Loaded` says whether the code can be loaded, and has the traceback.
    """

    load_milliseconds: Count = 0
    conditions: tuple[Condition, ...] = ()


def _loaded(one: "FunctionRevision", _: object) -> str:
    loaded = condition_of(one.status.conditions, LOADED)
    return loaded.status if loaded is not None else "Unknown"


class FunctionRevision(Object):
    resource = Resource(
        "serverless.cubernetes.io",
        "v1",
        "FunctionRevision",
        "functionrevisions",
        ("fnrev",),
        subresources=("status",),
    )
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Function", lambda one, _: one.spec.function),
        Column("Loaded", _loaded),
        Column("Age", age_of),
    )

    api_version: str = shown("serverless.cubernetes.io/v1")
    kind: str = shown("FunctionRevision")
    spec: FunctionRevisionSpec
    status: FunctionRevisionStatus = msgspec.field(default_factory=FunctionRevisionStatus)

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        spec = self.spec
        if not names.is_label(spec.function):
            yield Problem("spec.function", names.LABEL_RULE)
        yield from code_problems(spec.files, spec.entry, spec.env)
        yield from secret_problems(spec.secrets, spec.env)

    def update_problems(self, old: "FunctionRevision") -> Iterator[Problem]:
        yield from immutable("spec", old.spec, self.spec)
