"""Custom kinds: each definition is served, told of, and outlived by none of its objects.

A look after every change of a definition: names are given, what is accepted is served, and only
then it is told that it is. A definition that goes takes its objects along: they are deleted like
others, with their finalizers, and their kind is served until the last of them is gone.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.maintenance.bootstrap import call_for
from apiserver.state.keys import prefix_of
from apiserver.state.selection import Selection
from apiserver.state.watchcache import KindCache, Watch
from apiserver.verbs.delete import deleted
from apiserver.verbs.write import modified
from cubernetes.api.apiextensions.customresourcedefinition import (
    FINALIZER,
    CustomResourceDefinition,
    CustomResourceDefinitionStatus,
)
from cubernetes.api.apiextensions.definedkinds import kinds_of
from cubernetes.api.apiextensions.naming import is_established, status_of
from cubernetes.api.bodies.envelopes import DeleteOptions
from cubernetes.api.custom.objects import CustomObject
from cubernetes.api.errors import ApiError, NotFound
from cubernetes.api.meta import Object, replaced
from cubernetes.host.log import Log
from cubernetes.host.timing.waiting import wait_until

RETRY_S = 2.0

type Serve = Callable[[Sequence[type[Object]]], None]
type Versions = tuple[type[CustomObject], ...]

log = Log(__name__)


class CustomKinds:
    """The kinds that this server's cluster defines; several servers may look at once."""

    def __init__(self, backend: Backend, serve: Serve) -> None:
        """serve is given all custom kinds, whenever they are others than before."""
        self._backend, self._serve = backend, serve
        self._woken = asyncio.Event()
        # The kinds of each definition, with what they were made of.
        self._made: dict[str, tuple[CustomResourceDefinition, Versions]] = {}

    @property
    def kinds(self) -> list[type[CustomObject]]:
        """Every version of every custom kind that is served."""
        return [kind for _, kinds in self._made.values() for kind in kinds]

    def serve(self) -> None:
        """Serve what is defined now."""
        made: dict[str, tuple[CustomResourceDefinition, Versions]] = {}
        for one in self._definitions():
            shown = self._with_status(one)
            if not is_established(shown):
                continue
            known = self._made.get(one.metadata.uid)
            if known is None or not _makes_the_same(known[0], shown):
                known = (shown, kinds_of(shown))
            made[one.metadata.uid] = known
        is_changed = {uid: one[1] for uid, one in made.items()} != {
            uid: one[1] for uid, one in self._made.items()
        }
        self._made = made
        if is_changed:
            self._serve(self.kinds)

    async def run(self) -> None:
        """Follow the definitions for ever."""
        while True:
            watches = [cache.watch(_all_of(cache)) for cache in self._watched()]
            try:
                self._woken.clear()
                wait_s = await self._look_once()
                for watch in watches:
                    _wake_at_change(watch, self._woken)
                await wait_until(self._woken, wait_s)
            finally:
                for watch in watches:
                    watch.close()

    def wake(self) -> None:
        """Look again: the kinds beside the custom ones are others."""
        self._woken.set()

    async def _look_once(self) -> float | None:
        """Look, and return when to look again if nothing changes; None: never."""
        self.serve()
        try:
            for one in self._definitions():
                await self._tell(one)
                if one.metadata.is_deleted:
                    await self._empty(one)
        except ApiError as error:
            log.warning("custom kinds are looked at again later", why=error)
            return RETRY_S
        return None

    def _watched(self) -> Iterator[KindCache]:
        mirror = self._backend.mirror
        if not mirror.is_stored(CustomResourceDefinition):
            return
        yield mirror.cache_of(CustomResourceDefinition)
        for definition, kinds in self._made.values():
            if self._is_going(definition) and mirror.is_stored(kinds[0]):
                yield mirror.cache_of(kinds[0])

    def _is_going(self, definition: CustomResourceDefinition) -> bool:
        found = self._backend.find(CustomResourceDefinition, definition.metadata.name)
        return found is not None and found.metadata.is_deleted

    def _definitions(self) -> list[CustomResourceDefinition]:
        """Return every definition, the oldest first: a name is the first one's that asked."""
        if not self._backend.mirror.is_stored(CustomResourceDefinition):
            return []
        found = cast(
            list[CustomResourceDefinition], [*self._backend.objects(CustomResourceDefinition)]
        )
        return sorted(found, key=lambda one: (str(one.metadata.creation_timestamp), one.ref))

    def _with_status(
        self, one: CustomResourceDefinition, *, is_emptied: bool = False
    ) -> CustomResourceDefinition:
        status = self._status_of(one, is_emptied=is_emptied)
        return replaced(one, status=status)

    def _status_of(
        self, one: CustomResourceDefinition, *, is_emptied: bool
    ) -> CustomResourceDefinitionStatus:
        """Return its status among the others, of which those before it have their names."""
        others: list[CustomResourceDefinition] = []
        now, reserved = self._backend.env.clock.now(), self._reserved()
        for other in self._definitions():
            if other.metadata.name == one.metadata.name:
                continue
            others.append(other)
        return status_of(one, others, reserved, now, is_emptied=is_emptied)

    def _reserved(self) -> frozenset[str]:
        kinds = self._backend.mirror.kinds
        return frozenset(one.resource.group for one in kinds if not one.resource.is_custom)

    async def _tell(self, one: CustomResourceDefinition, *, is_emptied: bool = False) -> None:
        if self._status_of(one, is_emptied=is_emptied) == one.status:
            return

        def change(old: Object) -> Object:
            assert isinstance(old, CustomResourceDefinition)  # noqa: S101  the key is of them
            bare = replaced(old, metadata=replaced(old.metadata, resource_version=""))
            return self._with_status(bare, is_emptied=is_emptied)

        await self._change(one, change, "status")

    async def _change(
        self, one: CustomResourceDefinition, change: Callable[[Object], Object], part: str
    ) -> None:
        call = call_for(one)
        call = Call(
            call.request, call.route._replace(subresource=part), call.identity, "", call.name
        )
        try:
            await modified(self._backend, call, change)
        except NotFound:
            return

    async def _empty(self, one: CustomResourceDefinition) -> None:
        """Delete the objects of a definition that goes, and let it go when there are none."""
        if FINALIZER not in one.metadata.finalizers:
            return
        known = self._made.get(one.metadata.uid)
        if known is not None:
            await self._backend.caught_up()
            cache = self._backend.mirror.cache_of(known[1][0])
            for item in [*cache.items.values()]:
                if not item.object.metadata.is_deleted:
                    await self._delete(item.object)
            await self._backend.caught_up()
            if cache.items:
                return
        await self._tell(one, is_emptied=True)

        def released(old: Object) -> Object:
            left = tuple(each for each in old.metadata.finalizers if each != FINALIZER)
            metadata = replaced(old.metadata, resource_version="", finalizers=left)
            return replaced(old, metadata=metadata)

        await self._change(one, released, "")

    async def _delete(self, one: Object) -> None:
        try:
            await deleted(self._backend, call_for(one), DeleteOptions(), uid=one.metadata.uid)
        except NotFound:
            return


def _makes_the_same(one: CustomResourceDefinition, other: CustomResourceDefinition) -> bool:
    """Whether two states of a definition make the same kinds."""
    names = (one.status.accepted_names, other.status.accepted_names)
    return one.spec == other.spec and names[0] == names[1]


def _all_of(cache: KindCache) -> Selection:
    return Selection(cache.kind, prefix_of(cache.kind))


def _wake_at_change(watch: Watch, woken: asyncio.Event) -> None:
    watch.when_more(woken.set)
