"""An informer: a cache that follows one kind, without a gap and never back in time.

It lists, watches from exactly there, and goes on after every break from the last revision that is
known to be whole. Where the history is gone it lists again, never older than what it has seen,
and tells of what came, changed and vanished meanwhile. Callbacks run at once, in order, within
`run`; one that raises is a bug: `run` raises it, and the program's supervisor begins anew. So it
does where the API itself went back in time.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

from cubernetes.api.errors import AHEAD, ApiError, Gone
from cubernetes.api.meta import Object
from cubernetes.client.cache import Cache, Pairs, Placed, key_of, revision_of
from cubernetes.client.machine import Event, State, step
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.client.watching import Change, known_revision
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.metrics import Metrics, following
from cubernetes.host.supervise import BeginAnew
from cubernetes.host.timing.backoff import backoff_s, jittered_s

log = Log(__name__)

WATCH_S = 300
PAGE_MAX = 500  # objects of one page
# A watch that ends sooner than this counts as a failure, so that no server makes us spin.
WATCH_LIFE_S_MIN = 1.0
PAUSE_BASE_S = 0.2
# Also after a long outage a node follows again within this: its services depend on it.
PAUSE_MAX_S = 5.0


class WentBack(BeginAnew):
    """The API has nothing newer than what is older than what it said before.

    Somebody has put an old copy in place of the store. Caches could be made to follow; what was
    concluded from them cannot be taken back.
    """


class Follower[O: Object, K: Placed]:
    """One kind, perhaps one namespace or selection of it, kept at hand as `keep` returns it.

    For a reader who needs little of many objects. Lists are read in pages, so that no moment needs
    the memory of all objects whole.
    """

    def __init__(  # noqa: PLR0913  a selection's parameters are the API's own
        self,
        client: Client,
        kind: type[O],
        env: Env,
        keep: Callable[[O], K],
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        page_max: int = PAGE_MAX,
    ) -> None:
        """page_max: objects of a page of a list; 0 is all of them."""
        self.kind = kind
        self.cache: Cache[K] = Cache()
        # Set once the first list is in the cache and every callback has heard of it.
        self.synced = asyncio.Event()
        self._client = client
        self._env = env
        self._namespace, self._labels, self._fields = namespace, labels, fields
        self._keep = keep
        self._page_max = page_max
        self._callbacks: list[Callable[[K | None, K | None], None]] = []
        self._progress = asyncio.Event()
        # Every change up to here is in the cache. It is cache.revision or the one before: changes
        # of one transaction share a revision, and a watch may be cut between them.
        self.whole_revision = 0
        # The server does not know the revision that we have: it lags, or its store is another.
        self._is_ahead = False
        self._failure_count = 0
        self._count(env.metrics)

    def _count(self, metrics: Metrics) -> None:
        kind = self.kind.resource.word
        lists = "Lists of a kind: the first, and one each time that its history was gone."
        self._lists = metrics.counter("cube_informer_lists_total", lists, "kind").labels(kind)
        changes = "Changes that watches have brought."
        self._changes = metrics.counter("cube_informer_changes_total", changes, "kind").labels(kind)
        breaks = "Lists and watches that failed."
        self._breaks = metrics.counter("cube_informer_breaks_total", breaks, "kind").labels(kind)
        objects = metrics.gauge("cube_informer_objects", "Objects in the cache.", "kind")
        self._objects = objects.labels(kind)

    def on_change(self, callback: Callable[[K | None, K | None], None]) -> None:
        """Call back with (old, new) at each change: None for what was not, or is no more.

        The cache holds the new state already. Register before `run`; do not block, do not raise.
        """
        self._callbacks.append(callback)

    async def at_least(self, revision: int, deadline_s: float) -> bool:
        """Wait until the cache has seen revision; False when it has not by the deadline."""
        return await self.until(lambda: self.cache.revision >= revision, deadline_s)

    async def until(self, holds: Callable[[], bool], deadline_s: float) -> bool:
        """Wait until something holds of the cache; False when it does not by the deadline."""
        try:
            async with asyncio.timeout(deadline_s):
                while not holds():
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Follow the API for ever; ends only by cancellation or by a bug in a callback.

        Raises: WentBack.
        """
        with following(self._objects, lambda: len(self.cache)):
            await self._follow()

    async def _follow(self) -> None:
        state = State.LISTING
        while True:
            if state in (State.LISTING, State.RELISTING):
                event = await self._list()
            else:
                event, state = await self._watch(state)
            state, is_paused = step(state, event)
            if is_paused:
                await self._pause()
            elif event is Event.ENDED:
                self._failure_count = 0

    async def _list(self) -> Event:
        # The first list is of now; a later one of any server that is not behind what we know.
        knows = self.synced.is_set() and not self._is_ahead
        revision = str(self.cache.revision) if knows else None
        try:
            items, listed_revision = await self._listed(revision)
        except (ApiError, TransportError) as error:
            return self._failed(error)
        if listed_revision < self.cache.revision:
            kind = self.kind.resource.kind
            if revision is None:
                raise WentBack(f"{kind}: {listed_revision} is newest, was {self.cache.revision}")
            log.warning("list went back in time", kind=kind)
            return Event.BROKE
        self._is_ahead = False
        self._lists.inc()
        self._tell(self.cache.replace(items, listed_revision))
        self.whole_revision = listed_revision
        self.synced.set()
        self._progress.set()
        return Event.LISTED

    async def _listed(self, revision: str | None) -> tuple[Sequence[K], int]:
        """Return what is kept of every object, and as of which revision."""
        items: list[K] = []
        proceed = ""
        while True:
            page = await self._client.list(
                self.kind,
                self._namespace,
                labels=self._labels,
                fields=self._fields,
                revision=None if proceed else revision,
                limit=self._page_max,
                proceed=proceed,
            )
            items += map(self._keep, page.items)
            proceed = page.metadata.continue_
            if not proceed:
                return items, known_revision(page.metadata.resource_version)

    async def _watch(self, state: State) -> tuple[Event, State]:
        """Take in changes until the watch ends; return how it ended, and the state it was in."""
        began_s = self._env.clock.monotonic()
        stream = self._client.watch(
            self.kind,
            self._namespace,
            revision=str(self.whole_revision),
            labels=self._labels,
            fields=self._fields,
            timeout_s=WATCH_S,
        )
        try:
            async with aclosing(stream):
                async for change in stream:
                    self._take(change)
                    state = step(state, Event.CHANGED).state
                    self._failure_count = 0
        except (ApiError, TransportError) as error:
            return self._failed(error), state
        lived_s = self._env.clock.monotonic() - began_s
        return (Event.ENDED if lived_s >= WATCH_LIFE_S_MIN else Event.BROKE), state

    def _take(self, change: Change[O]) -> None:
        """Bring the cache to a change's revision, unless it is there already."""
        revision = int(change.revision)
        if revision < self.cache.revision:
            return
        if change.object is None:
            # A bookmark promises that everything up to its revision has been sent.
            self.whole_revision = revision
        else:
            self._changes.inc()
            self.whole_revision = max(self.whole_revision, revision - 1)
            self._apply(change.type == "DELETED", self._keep(change.object), revision)
        self.cache.revision = revision
        self._progress.set()

    def _apply(self, is_deleted: bool, one: K, revision: int) -> None:
        namespace, name = key_of(one)
        known = self.cache.get(name, namespace)
        if is_deleted:
            if known is not None:
                self.cache.remove(key_of(known))
                self.cache.revision = revision
                self._tell([(known, None)])
        elif known is None or revision_of(known) < revision:
            self.cache.put(one)
            self.cache.revision = revision
            self._tell([(known, one)])

    def _tell(self, pairs: Pairs[K]) -> None:
        for old, new in pairs:
            for callback in self._callbacks:
                callback(old, new)

    def _failed(self, error: ApiError | TransportError) -> Event:
        self._breaks.inc()
        # Once per streak: an outage of an hour is one line, not a thousand.
        if self._failure_count == 0:
            log.warning("cannot follow", kind=self.kind.resource.kind, error=error)
        if isinstance(error, ApiError) and any(one.reason == AHEAD for one in error.problems):
            # The next list asks for what is true now, whatever we have seen.
            self._is_ahead = True
            return Event.EXPIRED
        return Event.EXPIRED if isinstance(error, Gone) else Event.BROKE

    async def _pause(self) -> None:
        self._failure_count += 1
        pause_s = backoff_s(self._failure_count, base_s=PAUSE_BASE_S, limit_s=PAUSE_MAX_S)
        await self._env.clock.sleep(jittered_s(pause_s, self._env.rng.fraction()))


class Informer[O: Object](Follower[O, O]):
    """One kind, perhaps one namespace or selection of it, kept at hand whole."""

    def __init__(
        self,
        client: Client,
        kind: type[O],
        env: Env,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
    ) -> None:
        super().__init__(
            client,
            kind,
            env,
            _whole,
            namespace=namespace,
            labels=labels,
            fields=fields,
            page_max=0,
        )


def _whole[O: Object](one: O) -> O:
    return one
