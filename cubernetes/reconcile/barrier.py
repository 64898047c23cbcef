"""Read your own writes: a planner plans again only when its view shows what it has done.

Caches follow the API with a delay. A plan on a view that does not yet show the last round's writes
would make them twice: a pod too many, a second deletion, a node filled beyond its size. After a
write with an unknown outcome the object itself is asked for, and its answer waited for. Where the
view does not get there in time the planner holds: no plan is better than one on missing facts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cubernetes.api.errors import ApiError, NotFound
from cubernetes.api.meta import Object, Ref
from cubernetes.client.cache import revision_of
from cubernetes.client.informer import Informer
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.reconcile.view import Informers


@dataclass(frozen=True, slots=True)
class Outdated:
    """A state of an object that a write of ours has ended: the view must show another one."""

    ref: Ref
    uid: str
    resource_version: str
    # The revision of the server's answer; a view that is as new has seen all there is to see.
    answered_at: int = 2**62


@dataclass(frozen=True, slots=True, eq=False)
class UnknownWrite:
    """One write of unknown outcome; another of the same object is another doubt."""

    kind: type[Object]


class Barrier:
    """What one planner has written, as far as its view has not shown it yet.

    It watches over the kinds of the view. What is written of another kind is nobody's to plan on.
    """

    def __init__(self, client: Client, informers: Informers) -> None:
        self._client = client
        self._informers = informers
        self._written: dict[type[Object], int] = {}
        self._outdated: dict[Ref, tuple[type[Object], Outdated]] = {}
        self._doubts: dict[Ref, UnknownWrite] = {}

    def seen(self, kind: type[Object], ref: Ref) -> Object | None:
        """Return what the view shows at ref; None also for kinds that are not watched."""
        informer = self._informers.get(kind)
        return None if informer is None else informer.cache.get(ref.name, ref.namespace)

    def wrote(self, kind: type[Object], revision: int) -> None:
        """Wait for the change that this write has made; a later one is as good."""
        if kind in self._informers:
            self._written[kind] = max(revision, self._written.get(kind, 0))

    def outdated(self, kind: type[Object], state: Outdated) -> None:
        """Wait until the view shows something else than this; for writes that tell no revision."""
        if kind in self._informers:
            self._outdated[state.ref] = (kind, state)

    def doubted(self, kind: type[Object], ref: Ref) -> None:
        """Ask what has become of ref before anything is planned."""
        if kind in self._informers:
            self._doubts[ref] = UnknownWrite(kind)

    def forget(self, kind: type[Object]) -> None:
        """Wait for nothing of a kind any more: it is gone, and so is its view."""
        self._written.pop(kind, None)
        self._outdated = {ref: one for ref, one in self._outdated.items() if one[0] is not kind}
        self._doubts = {ref: one for ref, one in self._doubts.items() if one.kind is not kind}

    async def clear(self, deadline_s: float) -> bool:
        """Wait until the view shows all that was done; False when it does not by the deadline.

        deadline_s is for each kind that is waited for, and for each call.
        """
        if not await self._is_answered():
            return False
        for kind, revision in list(self._written.items()):
            seen = self._informers.get(kind)
            if seen is not None and not await seen.at_least(revision, deadline_s):
                return False
        for ref, (kind, state) in list(self._outdated.items()):
            informer = self._informers.get(kind)
            if informer is not None and not await informer.until(
                _is_past(informer, state), deadline_s
            ):
                return False
            if self._outdated.get(ref) == (kind, state):
                del self._outdated[ref]
        return True

    async def _is_answered(self) -> bool:
        """Ask until nothing is in doubt; False when nobody answers."""
        while self._doubts:
            ref, doubt = next(iter(self._doubts.items()))
            if not await self._ask(doubt.kind, ref):
                return False
            # What went into doubt while the answer was under way, the answer says nothing about.
            if self._doubts.get(ref) is doubt:
                del self._doubts[ref]
        return True

    async def _ask(self, kind: type[Object], ref: Ref) -> bool:
        """Turn a doubt into something to wait for; False when nobody answers."""
        try:
            found = await self._client.get(kind, ref.name, ref.namespace)
        except NotFound:
            self._expect_absence(kind, ref)
        except (ApiError, TransportError):
            return False
        else:
            self.wrote(kind, revision_of(found))
        return True

    def _expect_absence(self, kind: type[Object], ref: Ref) -> None:
        seen = self.seen(kind, ref)
        if seen is not None:
            meta = seen.metadata
            self.outdated(kind, Outdated(ref, meta.uid, meta.resource_version))


def _is_past(informer: Informer[Any], state: Outdated) -> Callable[[], bool]:
    """Return a question to the cache: does it show anything newer than this state?"""
    ref = state.ref

    def holds() -> bool:
        seen = informer.cache.get(ref.name, ref.namespace)
        if seen is None or seen.metadata.uid != state.uid:
            return True
        is_changed = bool(seen.metadata.resource_version != state.resource_version)
        return is_changed or informer.cache.revision >= state.answered_at

    return holds
