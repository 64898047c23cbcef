"""Custom kinds: each definition is served, told of, and outlived by none of its objects.

A look after every change of a definition: names are given, what is accepted is served, and only
then it is told that it is. A definition that goes takes its objects along: they are deleted like
others, with their finalizers, and their kind is served until the last of them is gone.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import cast

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.maintenance.bootstrap import call_for
from apiserver.state.keys import prefix_of
from apiserver.state.selection import Selection
from apiserver.uses.custom import CUSTOM, EXTERNAL
from apiserver.verbs.delete import deleted
from apiserver.verbs.write import modified
from apiserver.views.registry import kinds_shown
from cubernetes.api.apiextensions.customresourcedefinition import (
    FINALIZER,
    CustomResourceDefinition,
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
        # Of each definition that goes, by its uid.
        self._emptying: dict[str, asyncio.Task[None]] = {}

    @property
    def kinds(self) -> list[type[CustomObject]]:
        """Every version of every custom kind that is served."""
        return [kind for _, kinds in self._made.values() for kind in kinds]

    def serve(self) -> list[CustomResourceDefinition]:
        """Serve what is defined now; a definition that makes no kinds leaves the others alone.

        Return the definitions as they are to be told of, the oldest first.
        """
        decided = self._decided()
        made: dict[str, tuple[CustomResourceDefinition, Versions]] = {}
        names: set[tuple[str, str]] = set()
        for shown in decided:
            if not is_established(shown):
                continue
            known = self._made.get(shown.metadata.uid)
            if known is None or not _makes_the_same(known[0], shown):
                try:
                    known = (shown, kinds_of(shown))
                except Exception as error:  # noqa: BLE001  one must not take the others down
                    log.bug("definition makes no kinds", error, name=shown.metadata.name)
                    continue
            if taken := names.intersection(found := {*_names_of(known[1])}):
                log.error("kinds of a definition are another's", taken=sorted(taken)[0])
                continue
            names |= found
            made[shown.metadata.uid] = known
        is_changed = {uid: one[1] for uid, one in made.items()} != {
            uid: one[1] for uid, one in self._made.items()
        }
        if is_changed:
            self._serve([kind for _, kinds in made.values() for kind in kinds])
        self._made = made
        return decided

    async def run(self) -> None:
        """Follow the definitions for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                with self._watching(CustomResourceDefinition, self._woken):
                    self._woken.clear()
                    wait_s = await self._look_once(tasks)
                    await wait_until(self._woken, wait_s)

    def wake(self) -> None:
        """Look again: the kinds beside the custom ones are others."""
        self._woken.set()

    async def _look_once(self, tasks: asyncio.TaskGroup) -> float | None:
        """Look, and return when to look again if nothing changes; None: never."""
        decided, wait_s = self.serve(), None
        stored = {one.metadata.uid: one for one in self._definitions()}
        self._emptying = {uid: one for uid, one in self._emptying.items() if not one.done()}
        for shown in decided:
            uid = shown.metadata.uid
            try:
                if shown.status != stored[uid].status:
                    await self._tell(shown)
            except ApiError as error:
                log.warning("a definition is told of later", name=shown.metadata.name, why=error)
                wait_s = RETRY_S
            is_going = FINALIZER in shown.metadata.finalizers and shown.metadata.is_deleted
            if is_going and uid not in self._emptying:
                self._emptying[uid] = tasks.create_task(self._empty(shown))
        return wait_s

    @contextmanager
    def _watching(self, kind: type[Object], woken: asyncio.Event) -> Iterator[None]:
        """Set an event at every change of a kind from now on."""
        if not self._backend.mirror.is_stored(kind):
            yield
            return
        cache = self._backend.mirror.cache_of(kind)
        watch = cache.watch(Selection(cache.kind, prefix_of(cache.kind)))
        watch.when_more(woken.set)
        try:
            yield
        finally:
            watch.close()

    def _definitions(self) -> list[CustomResourceDefinition]:
        """Return every definition, the oldest first: a name is the first one's that asked."""
        if not self._backend.mirror.is_stored(CustomResourceDefinition):
            return []
        found = cast(
            list[CustomResourceDefinition], [*self._backend.objects(CustomResourceDefinition)]
        )
        return sorted(found, key=lambda one: (str(one.metadata.creation_timestamp), one.ref))

    def _decided(self, group: str = "") -> list[CustomResourceDefinition]:
        """Return definitions as they are to be told of, the oldest first; group: of this alone.

        What an older one is given, a younger one does not get, though neither was told yet.
        """
        now, reserved = self._backend.env.clock.now(), self._reserved()
        groups: dict[str, dict[str, CustomResourceDefinition]] = {}
        every = [one for one in self._definitions() if not group or one.spec.group == group]
        for one in every:
            groups.setdefault(one.spec.group, {})[one.metadata.name] = one
        for one in every:
            among = groups[one.spec.group]
            status = status_of(one, among.values(), reserved, now)
            among[one.metadata.name] = replaced(one, status=status)
        return [groups[one.spec.group][one.metadata.name] for one in every]

    def _reserved(self) -> frozenset[str]:
        """Return the groups that are the server's own: of what is stored, shown and asked."""
        stored = [one for one in self._backend.mirror.kinds if not one.resource.is_custom]
        groups = (one.resource.group for one in (*stored, *kinds_shown(stored)))
        return frozenset((*groups, CUSTOM, EXTERNAL))

    async def _tell(self, one: CustomResourceDefinition, *, is_emptied: bool = False) -> None:
        """Raises: ApiError."""

        def change(old: CustomResourceDefinition) -> CustomResourceDefinition:
            others, now = self._decided(old.spec.group), self._backend.env.clock.now()
            status = status_of(old, others, self._reserved(), now, is_emptied=is_emptied)
            return replaced(old, status=status)

        await self._change(one, change, "status")

    async def _change(
        self,
        one: CustomResourceDefinition,
        change: Callable[[CustomResourceDefinition], CustomResourceDefinition],
        part: str,
    ) -> None:
        """Change this incarnation of a definition, unless it is gone. Raises: ApiError."""
        call = call_for(one)
        call = Call(
            call.request, call.route._replace(subresource=part), call.identity, "", call.name
        )

        def changed(old: Object) -> Object:
            assert isinstance(old, CustomResourceDefinition)  # noqa: S101  the key is of them
            if old.metadata.uid != one.metadata.uid:
                raise NotFound(f"{one.metadata.name} is another by now")
            bare = replaced(old.metadata, resource_version="")
            return change(replaced(old, metadata=bare))

        # Its schema was judged when it came, and takes longer than the rest of the write.
        with suppress(NotFound):
            await modified(self._backend, call, changed, is_lawful=True)

    async def _empty(self, one: CustomResourceDefinition) -> None:
        """Delete the objects of a definition that goes, and let it go when there are none."""
        woken = asyncio.Event()
        while True:
            known = self._made.get(one.metadata.uid)
            watched = known[1][0] if known is not None else CustomResourceDefinition
            with self._watching(watched, woken):
                woken.clear()
                wait_s = None
                try:
                    if await self._is_emptied(one):
                        return
                except ApiError as error:
                    log.warning("objects are deleted later", of=one.metadata.name, why=error)
                    wait_s = RETRY_S
                await wait_until(woken, wait_s)

    async def _is_emptied(self, one: CustomResourceDefinition) -> bool:
        """Delete what is left, and let the definition go if nothing is. Raises: ApiError."""
        known = self._made.get(one.metadata.uid)
        if known is not None and self._backend.mirror.is_stored(known[1][0]):
            await self._backend.caught_up()
            cache = self._backend.mirror.cache_of(known[1][0])
            refusals = [await self._refusal(item.object) for item in [*cache.items.values()]]
            await self._backend.caught_up()
            if refused := next(filter(None, refusals), None):
                raise refused
            if cache.items:
                return False
        await self._tell(one, is_emptied=True)

        def released(old: CustomResourceDefinition) -> CustomResourceDefinition:
            left = tuple(each for each in old.metadata.finalizers if each != FINALIZER)
            return replaced(old, metadata=replaced(old.metadata, finalizers=left))

        await self._change(one, released, "")
        return True

    async def _refusal(self, one: Object) -> ApiError | None:
        """Delete an object, and return why it is not; None: it is, or was before."""
        if one.metadata.is_deleted:
            return None
        try:
            await deleted(self._backend, call_for(one), DeleteOptions(), uid=one.metadata.uid)
        except NotFound:
            return None
        except ApiError as error:
            return error
        return None


def _makes_the_same(one: CustomResourceDefinition, other: CustomResourceDefinition) -> bool:
    """Whether two states of a definition make the same kinds."""
    names = (one.status.accepted_names, other.status.accepted_names)
    return one.spec == other.spec and names[0] == names[1]


def _names_of(kinds: Versions) -> Iterator[tuple[str, str]]:
    """Yield what no two kinds may have in one version of a group: a kind, and a plural."""
    for one in kinds:
        yield one.resource.api_version, one.resource.kind
        yield one.resource.api_version, f"{one.resource.plural}/"
