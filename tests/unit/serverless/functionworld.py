"""Builders of functions and their revisions, and a world in which plans are carried out."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.serverless.function import Function, FunctionSpec, SizeClass
from cubernetes.api.serverless.functionrevision import FunctionRevision, FunctionRevisionSpec
from cubernetes.api.serverless.route import Route, RouteSpec
from serverless.board.key import FunctionKey
from serverless.brain.naming import revision_name
from serverless.brain.plan import (
    Action,
    Claim,
    Drain,
    DropRevision,
    Instance,
    Load,
    MakeInstance,
    MakeRevision,
    Remove,
    World,
    key_of,
    plan,
    revisions_by_function,
)
from serverless.brain.statuses import revision_with

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_function(name: str = "f", text: str = "v1", **fields: object) -> Function:
    meta = ObjectMeta(name=name, namespace="default", uid=f"uid-{name}", generation=1)
    spec = replaced(FunctionSpec(files={"action.py": text}), **fields)
    return Function(metadata=meta, spec=spec)


def a_revision(function: Function, *, loads: bool | None = True, at_s: int = 0) -> FunctionRevision:
    """Return the revision of a function's code; loads is None while nobody knows."""
    spec = function.spec
    made = FunctionRevision(
        metadata=ObjectMeta(
            name=revision_name(function),
            namespace="default",
            uid=f"uid-{revision_name(function)}",
            owner_references=(function.owner_reference(),),
            creation_timestamp=NOW + timedelta(seconds=at_s),
        ),
        spec=FunctionRevisionSpec(function=function.metadata.name, files=spec.files),
    )
    return made if loads is None else revision_with(made, "" if loads else "broken", 1.0, NOW)


def an_instance(
    name: str = "i",
    function: FunctionKey | None = None,
    size: SizeClass = "small",
    *,
    is_ready: bool = True,
    loaded: Sequence[str] = (),
    running: int = 0,
) -> Instance:
    return Instance(
        name=name,
        function=function,
        size=size,
        is_ready=is_ready,
        loaded=tuple(loaded),
        running_count=running,
    )


def a_route(
    name: str = "r", path: str = "/", function: str = "f", *, at_s: int = 0, **fields: object
) -> Route:
    meta = ObjectMeta(
        name=name, namespace="default", creation_timestamp=NOW + timedelta(seconds=at_s)
    )
    return Route(metadata=meta, spec=replaced(RouteSpec(path=path, function=function), **fields))


class TinyWorld:
    """Carries plans out at once; code that holds the word `broken` cannot be loaded."""

    def __init__(self, *functions: Function, pool_size: int = 1) -> None:
        self.functions = {key_of(one): one for one in functions}
        self.revisions: dict[str, FunctionRevision] = {}
        self.instances: dict[str, Instance] = {}
        self.needed: dict[FunctionKey, int] = {}
        # Revisions that no instance can load now, whatever they were found to be.
        self.lame: set[str] = set()
        self.pool_size = pool_size
        self._count = 0

    def world(self) -> World:
        return World(
            functions=tuple(self.functions.values()),
            revisions=revisions_by_function(self.revisions.values()),
            instances=tuple(self.instances.values()),
            needed=dict(self.needed),
            pool_size=self.pool_size,
        )

    def put(self, function: Function) -> None:
        self.functions[key_of(function)] = function

    def planned(self) -> list[Action]:
        return list(plan(self.world()))

    def settle(self, rounds_max: int = 50) -> None:
        """Plan and carry out until nothing is left to do."""
        for _ in range(rounds_max):
            actions = self.planned()
            if not actions:
                return
            for action in actions:
                self.carry(action)
        raise AssertionError(f"never settles: {self.planned()}")

    def carry(self, action: Action) -> None:
        self._count += 1
        match action:
            case MakeRevision(function):
                made = a_revision(function, loads=None, at_s=self._count)
                self.revisions[made.metadata.name] = made
            case DropRevision(revision):
                self.revisions.pop(revision.metadata.name, None)
            case MakeInstance(function, size):
                name = f"i{self._count:03}"
                self.instances[name] = an_instance(name, function, size)
            case Claim(one, function):
                self.change(one, function=function)
            case Load(one, revision, keep):
                self._load(one, revision, keep)
            case Drain(one, is_draining):
                self.change(one, is_draining=is_draining)
            case Remove(one):
                self.instances.pop(one.name, None)

    def change(self, one: Instance, **changes: object) -> None:
        if one.name in self.instances:
            self.instances[one.name] = replace(self.instances[one.name], **changes)  # type: ignore[arg-type]

    def _load(self, one: Instance, revision: FunctionRevision, keep: Sequence[str]) -> None:
        name = revision.metadata.name
        is_broken = any("broken" in text for text in revision.spec.files.values())
        if name in self.lame:
            self.change(one, failed=(name, *one.failed), resting=(name, *one.resting))
            return
        if not is_broken and one.name in self.instances:
            names = (*self.instances[one.name].loaded, name)
            loaded = [told for told in names if told in names[-2:] or told in keep]
            self.change(one, loaded=tuple(loaded))
        if not revision.status.conditions:
            failure = "broken" if is_broken else ""
            self.revisions[name] = revision_with(revision, failure, 1.0, NOW)

    def rest(self) -> None:
        """Let the pause pass after which instances are given what they could not load."""
        for one in tuple(self.instances.values()):
            self.change(one, resting=())

    def of(self, name: str = "f") -> list[Instance]:
        return [one for one in self.instances.values() if one.function == ("default", name)]

    @property
    def pool(self) -> list[Instance]:
        return [one for one in self.instances.values() if one.function is None]
