"""Function: Python code that is called over HTTP, and has instances while there are calls."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.condition import Condition, condition_of
from cubernetes.api.core.data.configdata import KEY_RULE, is_key
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Count, Model, Object, age_of, shown
from cubernetes.api.resource import Resource
from cubernetes.api.specrules.notbuilt import not_built_problems
from cubernetes.api.specrules.sourcefiles import file_problems

ENV_MAX = 100
ENV_BYTES_MAX = 32 * 1024
INSTANCES_MAX = 200
# A revision's name is the function's, a '-' and eight characters: it is a label's value too.
NAME_CHARS_MAX = names.LABEL_MAX - 9
# The condition that says whether the newest revision can be loaded.
LOADED = "Loaded"
CALLS_MAX = 100
SECRETS_MAX = 20
# In `calls`: every function of the namespace.
ANY_FUNCTION = "*"
CALLS_RULE = f"must name a function of the namespace, or be {ANY_FUNCTION!r}: every one"
# What the design has for functions and nothing does yet: refused by name.
NOT_BUILT = ("image", "idleStreamSeconds", "network", "requirements")
# In `traffic`: the newest revision that could be loaded, whichever that is.
LATEST = "latest"
SHARES_MAX = 3
# The condition that says whether calls go where `traffic` says.
TRAFFIC = "TrafficAsAsked"

type SizeClass = Literal["small", "medium", "large"]
type Instances = Annotated[int, msgspec.Meta(ge=0, le=INSTANCES_MAX)]

_ENTRY = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\Z", re.ASCII)
ENTRY_RULE = "must be a module and its function, such as action.action"
_VARIABLE = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
VARIABLE_RULE = "must be a letter or '_', then letters, digits and '_'"


class RetrySpec(Model):
    """How often a durable or asynchronous call, or one of a trigger, is tried.

    attempts: how many attempts a call has; after the last it is a dead letter.
    most_seconds: how long it rests at most before the next; it rests 1, 10, 60 and 300 seconds.
    """

    attempts: Annotated[int, msgspec.Meta(ge=1, le=20)] = shown(5)
    most_seconds: Annotated[int, msgspec.Meta(ge=1, le=300)] = shown(300)


class SecretVariable(Model):
    """An environment variable whose value is a key of a Secret of the function's namespace.

    name: the Secret.
    key: which of its keys.
    env: the variable.
    """

    name: str
    key: str
    env: str


class TrafficShare(Model):
    """The part of the calls that goes to a revision.

    revision: its name, or `latest`: the newest that could be loaded.
    percent: how many calls of a hundred.
    """

    revision: str
    percent: Annotated[int, msgspec.Meta(ge=1, le=100)]


class FunctionSpec(Model):
    """Code, and how it is run.

    runtime: the language.
    files: the code, text by path: 512 KiB in all.
    entry: the module and the function in it that is called with each request.
    env: environment variables.
    secrets: environment variables with values of Secrets, as these are when an instance loads the
        code.
    resources: what an instance has: small 128Mi, medium 512Mi, large 2Gi of memory.
    concurrency: how many calls an instance runs at a time.
    min_instances: how many instances there are without any call.
    max_instances: how many there are at most.
    idle_seconds: how long an instance stays when it is no longer needed.
    timeout_seconds: how long a call may run before it is ended.
    max_wait_seconds: how long a call waits for an instance.
    queue: how many calls may wait at once; more are answered with 429.
    retry: how calls that must survive are tried again where they fail.
    calls: functions of its namespace that it may invoke by what it returns; `*` is every one.
    traffic: which revisions calls go to, at most 3, 100 percent in all; without it, the newest
        that could be loaded.
    """

    runtime: Literal["python"] = shown("python")
    files: Mapping[str, str]
    entry: str = shown("action.action")
    env: Mapping[str, str] = msgspec.field(default_factory=dict)
    secrets: tuple[SecretVariable, ...] = ()
    resources: SizeClass = shown("small")
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=64)] = shown(4)
    min_instances: Instances = 0
    max_instances: Annotated[int, msgspec.Meta(ge=1, le=INSTANCES_MAX)] = shown(20)
    idle_seconds: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = shown(60)
    timeout_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)] = shown(30)
    max_wait_seconds: Annotated[int, msgspec.Meta(ge=1, le=600)] = shown(30)
    queue: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = shown(1000)
    retry: RetrySpec = msgspec.field(default_factory=RetrySpec)
    calls: tuple[str, ...] = ()
    traffic: tuple[TrafficShare, ...] = ()

    def may_invoke(self, name: str) -> bool:
        return name in self.calls or ANY_FUNCTION in self.calls


class FunctionInstances(Model):
    """How many instances there are.

    wanted: how many the calls need.
    ready: how many can take calls.
    draining: how many end their last calls.
    """

    wanted: Count = 0
    ready: Count = 0
    draining: Count = 0


class FunctionStatus(Model):
    """What has been found.

    observed_generation: the generation of the spec that this was found for.
    latest_revision: the revision that the spec describes.
    serving_revision: the revision that most calls go to.
    traffic: the revisions that calls go to, with what each has of a hundred calls.
    instances: how many instances there are.
    reason: why there are so many.
    conditions: `Loaded` says whether the latest revision can be loaded, and has the traceback;
        `TrafficAsAsked`, where there is `spec.traffic`, whether calls go where it says.
    """

    observed_generation: int = 0
    latest_revision: str = ""
    serving_revision: str = ""
    traffic: tuple[TrafficShare, ...] = ()
    instances: FunctionInstances = msgspec.field(default_factory=FunctionInstances)
    reason: str = ""
    conditions: tuple[Condition, ...] = ()


def _loaded(one: "Function", _: object) -> str:
    loaded = condition_of(one.status.conditions, LOADED)
    return loaded.status if loaded is not None else "Unknown"


class Function(Object):
    resource = Resource(
        "serverless.cubernetes.io",
        "v1",
        "Function",
        "functions",
        ("fn",),
        subresources=("status",),
    )
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Loaded", _loaded),
        Column("Serving", lambda one, _: one.status.serving_revision or "<none>"),
        Column("Ready", lambda one, _: one.status.instances.ready),
        Column("Wanted", lambda one, _: one.status.instances.wanted),
        Column("Age", age_of),
        Column("Reason", lambda one, _: one.status.reason, wide=True),
    )

    api_version: str = shown("serverless.cubernetes.io/v1")
    kind: str = shown("Function")
    spec: FunctionSpec
    status: FunctionStatus = msgspec.field(default_factory=FunctionStatus)

    @classmethod
    def misread(cls, tree: Mapping[str, Any]) -> Iterator[Problem]:
        yield from not_built_problems(tree, NOT_BUILT)

    def problems(self) -> Iterator[Problem]:
        name = self.metadata.name
        yield from self.metadata.problems(names.is_label, names.LABEL_RULE)
        if names.is_label(name) and len(name) > NAME_CHARS_MAX:
            told = f"has {len(name)} characters, at most {NAME_CHARS_MAX}: revisions add to it"
            yield Problem("metadata.name", told)
        spec = self.spec
        yield from code_problems(spec.files, spec.entry, spec.env)
        yield from secret_problems(spec.secrets, spec.env)
        if spec.min_instances > spec.max_instances:
            yield Problem("spec.minInstances", "must be at most spec.maxInstances")
        yield from _calls_problems(spec.calls)
        yield from _traffic_problems(name, spec.traffic)


def _calls_problems(calls: Sequence[str]) -> Iterator[Problem]:
    if len(calls) > CALLS_MAX:
        yield Problem("spec.calls", f"too many: {len(calls)}, at most {CALLS_MAX}")
    for index, name in enumerate(calls):
        if name != ANY_FUNCTION and not names.is_label(name):
            yield Problem(f"spec.calls[{index}]", CALLS_RULE)


def _traffic_problems(function: str, traffic: Sequence[TrafficShare]) -> Iterator[Problem]:
    """Yield what is wrong with a split; a revision may come later than the split that names it."""
    if not traffic:
        return
    if len(traffic) > SHARES_MAX:
        yield Problem("spec.traffic", f"too many: {len(traffic)}, at most {SHARES_MAX} revisions")
    percents = sum(one.percent for one in traffic)
    if percents != 100:
        yield Problem("spec.traffic", f"its percents are {percents} together, must be 100")
    seen: set[str] = set()
    for index, one in enumerate(traffic):
        field, name = f"spec.traffic[{index}].revision", one.revision
        if name != LATEST and not (name.startswith(f"{function}-") and names.is_label(name)):
            told = f"must be {LATEST!r} or a revision of this function, such as {function}-1a2b3c4d"
            yield Problem(field, told)
        elif name in seen:
            yield Problem(field, f"{name} is there already", "FieldValueDuplicate")
        seen.add(name)


def code_problems(
    files: Mapping[str, str], entry: str, env: Mapping[str, str]
) -> Iterator[Problem]:
    """Yield what is wrong with code that stands in a spec."""
    if not files:
        yield Problem("spec.files", "needs at least one file", "FieldValueRequired")
    yield from file_problems(files, "spec.files")
    if _ENTRY.match(entry) is None:
        yield Problem("spec.entry", ENTRY_RULE)
    elif files and not has_module(files, entry):
        module = entry.rpartition(".")[0].replace(".", "/")
        yield Problem("spec.entry", f"spec.files has neither {module}.py nor {module}/__init__.py")
    yield from _variable_problems(env)


def _variable_problems(env: Mapping[str, str]) -> Iterator[Problem]:
    if len(env) > ENV_MAX:
        yield Problem("spec.env", f"too many: {len(env)}, at most {ENV_MAX}")
    for name in env:
        if _VARIABLE.match(name) is None:
            yield Problem(f"spec.env[{name[:80]}]", VARIABLE_RULE)
    env_bytes = sum(len(name) + len(value.encode()) for name, value in env.items())
    if env_bytes > ENV_BYTES_MAX:
        yield Problem("spec.env", f"too large: {env_bytes} bytes, at most {ENV_BYTES_MAX}")


def secret_problems(secrets: Sequence[SecretVariable], env: Mapping[str, str]) -> Iterator[Problem]:
    """Yield what is wrong with variables from Secrets; none has a variable's name twice."""
    if len(secrets) > SECRETS_MAX:
        yield Problem("spec.secrets", f"too many: {len(secrets)}, at most {SECRETS_MAX}")
    taken = set(env)
    for index, one in enumerate(secrets):
        field = f"spec.secrets[{index}]"
        if not names.is_subdomain(one.name):
            yield Problem(f"{field}.name", names.SUBDOMAIN_RULE)
        if not is_key(one.key):
            yield Problem(f"{field}.key", KEY_RULE)
        if _VARIABLE.match(one.env) is None:
            yield Problem(f"{field}.env", VARIABLE_RULE)
        elif one.env in taken:
            yield Problem(f"{field}.env", f"variable {one.env[:80]} is there already")
        taken.add(one.env)


def has_module(files: Mapping[str, str], entry: str) -> bool:
    """Whether the files have the module of an entry."""
    module = entry.rpartition(".")[0].replace(".", "/")
    return f"{module}.py" in files or f"{module}/__init__.py" in files
