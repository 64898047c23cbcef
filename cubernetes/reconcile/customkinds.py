"""Custom kinds under the loop: planners about every kind are given them as they come and go.

The definitions are followed as every kind is. For each kind that they make, one informer is begun,
of which no more than metadata are kept; once it has listed, the planners know the kind, and all of
its objects are planned. A kind that is gone is forgotten, with whatever was waited for.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from cubernetes.api.apiextensions.customresourcedefinition import CustomResourceDefinition
from cubernetes.api.apiextensions.definedkinds import followed_kind, followed_resource
from cubernetes.api.meta import Object
from cubernetes.api.resource import Resource
from cubernetes.client.informer import Informer
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log

log = Log(__name__)


class Loop(Protocol):
    """A loop whose planner is about every kind."""

    def follow(self, kind: type[Object], informer: Informer[Any]) -> None:
        """Hear of the changes of another kind; its informer does not run yet."""
        ...

    def know(self, kinds: Sequence[type[Object]]) -> None:
        """Plan about these custom kinds from now on, and about no others."""
        ...

    def forget(self, kind: type[Object]) -> None:
        """Follow a kind no more."""
        ...

    def tell(self, gone: Sequence[Object]) -> None:
        """Plan what the end of these objects concerns; the view has them no more."""
        ...


class Followed(NamedTuple):
    """A kind that is followed, by an informer that runs in a task."""

    kind: type[Object]
    informer: Informer[Any]
    task: asyncio.Task[None]


class CustomKinds:
    """The custom kinds of a program's loops."""

    def __init__(
        self,
        client: Client,
        env: Env,
        definitions: Informer[CustomResourceDefinition],
        loops: Sequence[Loop],
    ) -> None:
        """definitions must not run yet."""
        self._client, self._env, self._loops = client, env, loops
        self._definitions = definitions
        self._changed = asyncio.Event()
        self._followed: dict[Resource, Followed] = {}
        self._known: dict[Resource, type[Object]] = {}
        definitions.on_change(lambda _old, _new: self._changed.set())

    async def run(self) -> None:
        """Follow the definitions for ever."""
        await self._definitions.synced.wait()
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                self._look(tasks)
                await self._changed.wait()

    def _look(self, tasks: asyncio.TaskGroup) -> None:
        wanted = {
            resource
            for one in self._definitions.cache.list()
            if (resource := followed_resource(one)) is not None
        }
        left: dict[str, list[Object]] = {}
        for resource in sorted(self._followed.keys() - wanted):
            left |= self._forget(self._followed.pop(resource))
        for resource in sorted(wanted - self._followed.keys()):
            kind = followed_kind(resource)
            informer = Informer[Any](self._client, kind, self._env)
            for loop in self._loops:
                loop.follow(kind, informer)
            before = left.get(_name_of(resource), [])
            task = tasks.create_task(self._follow(kind, informer, before))
            self._followed[resource] = Followed(kind, informer, task)

    def _forget(self, one: Followed) -> dict[str, list[Object]]:
        """Follow a kind no more; return the objects that are left, by its definition's name.

        A definition goes after its objects: those that are still in memory are gone with it. Where
        it is there, and makes another kind now, they are those of that kind.
        """
        one.task.cancel()
        resource, cache = one.kind.resource, one.informer.cache
        objects = [old for old, _ in cache.replace((), cache.revision) if old is not None]
        is_gone = self._definitions.cache.get(_name_of(resource)) is None
        for loop in self._loops:
            if is_gone:
                loop.tell(objects)
            loop.forget(one.kind)
        self._known.pop(resource, None)
        log.info("kind followed no more", kind=resource.word)
        return {} if is_gone else {_name_of(resource): objects}

    async def _follow(
        self, kind: type[Object], informer: Informer[Any], before: Sequence[Object]
    ) -> None:
        """Follow a kind; before: what was there when it was followed in another version."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(informer.run())
            await informer.synced.wait()
            self._known[kind.resource] = kind
            there = {one.metadata.uid for one in informer.cache.list()}
            gone = [
                kind(api_version=one.api_version, kind=one.kind, metadata=one.metadata)
                for one in before
                if one.metadata.uid not in there
            ]
            for loop in self._loops:
                loop.know(tuple(self._known.values()))
                loop.tell(gone)
            log.info("kind followed", kind=kind.resource.word)


def _name_of(resource: Resource) -> str:
    """Return the name of the definition that makes a kind."""
    return f"{resource.plural}.{resource.group}"
