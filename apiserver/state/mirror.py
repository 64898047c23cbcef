"""The whole cluster in memory, kept by one watch of the store: every kind at one revision.

One watch over everything means one revision for everything: a consistent read of a kind that has
been quiet waits for nothing but the store's own number.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from apiserver.fairness.waking import Waking
from apiserver.state.items import Item, item_of, value_of
from apiserver.state.keys import RESERVED, ROOT, collection_in, collection_of
from apiserver.state.view import Change, ViewMaker
from apiserver.state.viewcaches import Views
from apiserver.state.watchcache import KindCache
from apiserver.storage.store import Changes, Compacted, Entry, Store, StoreError, Unavailable
from cubernetes.api.errors import NotFound, ServiceUnavailable, Timeout
from cubernetes.api.meta import Object
from cubernetes.host.clock import Clock
from cubernetes.host.log import Log
from cubernetes.host.timing.backoff import backoff_s

LOAD_PAGE_ENTRIES = 1000
RETRY_BASE_S, RETRY_MAX_S = 0.1, 2.0

log = Log(__name__)


class StoreWentBack(Exception):
    """The store is older than what was read from it before: somebody put an old copy in its place.

    What is in memory is then of a future that never came, and every client's place in the history
    means something else. Restored with `etcdutl snapshot restore --bump-revision`, it is never so.
    """


class KindReserved(ValueError):
    """A kind would be stored where this server keeps what is no object."""


class Mirror:
    """Follows the store. What it holds is true as of `revision`, never newer, never mixed."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        kinds: Sequence[type[Object]],
        events_max: int,
        views: Sequence[ViewMaker] = (),
    ) -> None:
        self._store = store
        self._clock = clock
        self.revision = 0
        self.waking = Waking()
        self._events_max = events_max
        self.kinds: dict[type[Object], KindCache] = {}
        self._collections: dict[str, KindCache] = {}
        # What is of no kind that is served: claims of cluster IPs, tokens.
        self.plain: dict[str, Entry] = {}
        self._views = Views(views, waking=self.waking)
        self.replace(kinds)
        self._waiting: list[tuple[int, float, asyncio.Future[None]]] = []
        self._freshening: list[asyncio.Future[int]] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._answered = 0
        self._why_broken: StoreWentBack | None = None

    def replace(self, kinds: Sequence[type[Object]]) -> None:
        """Hold these kinds from now on, and no others; the kinds that stay are not touched.

        What the store has of a new kind is here already, as plain entries. A watch of a kind that
        goes falls behind, and ends.

        Raises: KindReserved: then nothing is changed.
        """
        for kind in kinds:
            if collection_of(kind) in RESERVED:
                raise KindReserved(f"{kind.resource.kind}: {collection_of(kind)} is no kind's")
        # Other versions of a kind are shown from the objects of the stored one.
        kinds = [kind for kind in kinds if kind.stored_as is None]
        gone = [one for one in self.kinds if one not in kinds]
        new = [one for one in kinds if one not in self.kinds]
        for kind in gone:
            self._drop(kind)
        for kind in new:
            self._add(kind)
        # No view is made of custom kinds: the watches of views go on.
        if not all(one.resource.is_custom for one in (*gone, *new)) or not self.is_loaded:
            self._views.load(self.kinds, self.revision)

    def _drop(self, kind: type[Object]) -> None:
        cache = self.kinds.pop(kind)
        del self._collections[collection_of(kind)]
        for key, item in cache.items.items():
            self.plain[key] = Entry(key, value_of(item), item.revision)
        cache.load([], self.revision)

    def _add(self, kind: type[Object]) -> None:
        name = collection_of(kind)
        cache = KindCache(kind, events_max=self._events_max, waking=self.waking)
        keys = sorted(key for key in self.plain if collection_in(key) == name)
        cache.load([item_of(kind, self.plain.pop(key)) for key in keys], self.revision)
        self.kinds[kind] = self._collections[name] = cache

    def cache_of(self, kind: type[Object]) -> KindCache:
        """Return what is held of a kind.

        Raises: NotFound: it is served no more, since a request for it came.
        """
        kind = kind.stored_as or kind
        cache = self.kinds.get(kind) or self._views.cache_of(kind)
        if cache is None:
            raise NotFound("the server could not find the requested resource")
        return cache

    def holds(self, kind: type[Object]) -> bool:
        """Whether its objects are in memory: of a kind that is stored, or of a view."""
        return self.is_stored(kind) or self._views.cache_of(kind) is not None

    def is_stored(self, kind: type[Object]) -> bool:
        """Whether the store has its objects; those of a view are nowhere but here."""
        return (kind.stored_as or kind) in self.kinds

    async def start(self) -> None:
        """Load everything, then follow. Returns when the first load is done."""
        await self._load_until_done()
        self._tasks["follow"] = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._fail_waiting(ServiceUnavailable("the server is stopping", retry_after_s=1))

    async def ended(self) -> None:
        """Wait until it follows no more; then nobody may be served.

        Raises: what ended it: StoreWentBack, or a bug of ours.
        """
        await asyncio.wait([self._tasks["follow"]])
        if self._why_broken is not None:
            raise self._why_broken
        self._tasks["follow"].result()

    @property
    def is_loaded(self) -> bool:
        return self.revision > 0

    def item(self, key: str) -> Item | None:
        """Return the object at a key, of whatever kind."""
        cache = self._collections.get(collection_in(key))
        return cache.items.get(key) if cache is not None else self._views.item(key)

    def kind_at(self, key: str) -> type[Object] | None:
        """Return of which kind the object at a key would be; None for keys without a kind."""
        cache = self._collections.get(collection_in(key))
        return cache.kind if cache is not None else None

    async def caught_up(self, deadline_s: float) -> int:
        """Wait until the mirror is as new as the store is now; return its revision.

        Raises: ServiceUnavailable, Timeout.
        """
        await self.reach(await self._store_revision(), deadline_s)
        return self.revision

    async def reach(self, revision: int, deadline_s: float) -> None:
        """Wait until the mirror is at least at a revision.

        Raises: Timeout.
        """
        if self.revision >= revision:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, self._clock.monotonic() + deadline_s, waiter))
        await waiter

    async def tick(self) -> None:
        """Give up waits whose deadline has passed, and hurry the store for the others."""
        now = self._clock.monotonic()
        for revision, ends_at, waiter in self._waiting:
            if ends_at <= now and not waiter.done():
                message = f"the cache is at revision {self.revision}, not yet at {revision}"
                waiter.set_exception(Timeout(message, retry_after_s=1))
        self._waiting = [one for one in self._waiting if not one[2].done()]
        if self._waiting:
            with contextlib.suppress(StoreError):
                await self._store.progress()

    async def _store_revision(self) -> int:
        """Ask the store for its revision; concurrent callers share the next request."""
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._freshening.append(waiter)
        if "freshen" not in self._tasks:
            self._tasks["freshen"] = asyncio.create_task(self._freshen())
        return await waiter

    async def _freshen(self) -> None:
        asking: list[asyncio.Future[int]] = []
        try:
            while self._freshening:
                asking, self._freshening = self._freshening, []
                await self._ask_for(asking)
        finally:
            # Whatever went wrong here, nobody may wait for an answer that will not come.
            for waiter in asking:
                waiter.cancel()
            del self._tasks["freshen"]

    async def _ask_for(self, asking: Sequence[asyncio.Future[int]]) -> None:
        known = self.known
        try:
            _, revision = await self._store.get(ROOT)
            self.check_onward(known, revision)
        except (StoreError, StoreWentBack) as trouble:
            error = ServiceUnavailable(f"the store does not answer: {trouble}", retry_after_s=1)
            for waiter in asking:
                if not waiter.done():
                    waiter.set_exception(error)
        else:
            for waiter in asking:
                if not waiter.done():
                    waiter.set_result(revision)

    @property
    def known(self) -> int:
        """The highest revision that the store has told of: the mirror may not be there yet."""
        return max(self.revision, self._answered)

    def check_onward(self, known: int, revision: int) -> None:
        """Hear the revision of an answer. Less than was known before the question is another store.

        Raises: StoreWentBack: nobody may be served any more; `ended` tells.
        """
        self._answered = max(self._answered, revision)
        if revision < known:
            why = StoreWentBack(f"it is at revision {revision}, and was at {known} before")
            log.error("the store went back in time", revision=revision, known=known)
            self._why_broken = why
            if "follow" in self._tasks:
                self._tasks["follow"].cancel()
            raise why

    async def _load_until_done(self) -> None:
        failure_count = 0
        while True:
            try:
                await self._load()
            except (Unavailable, Compacted) as trouble:
                failure_count += 1
                log.warning("store not loaded", trouble=trouble, failure_count=failure_count)
                pause_s = backoff_s(failure_count, base_s=RETRY_BASE_S, limit_s=RETRY_MAX_S)
                await self._clock.sleep(pause_s)
            else:
                return

    async def _load(self) -> None:
        page = await self._store.list(ROOT, limit=LOAD_PAGE_ENTRIES)
        revision, entries = page.revision, list(page.entries)
        while page.more:
            after = page.entries[-1].key
            page = await self._store.list(
                ROOT, revision=revision, limit=LOAD_PAGE_ENTRIES, after=after
            )
            entries += page.entries
        items: dict[str, list[Item]] = {name: [] for name in self._collections}
        self.plain = {}
        for entry in entries:
            cache = self._collections.get(collection_in(entry.key))
            if cache is None:
                self.plain[entry.key] = entry
            else:
                items[collection_in(entry.key)].append(item_of(cache.kind, entry))
        for name, cache in self._collections.items():
            cache.load(items[name], revision)
        self._views.load(self.kinds, revision)
        self._arrived(revision)
        log.info("store loaded", revision=revision, entry_count=len(entries))

    async def _follow(self) -> None:
        failure_count = 0
        while True:
            try:
                watch = self._store.watch(ROOT, after=self.revision)
                async for changes in watch:
                    failure_count = 0
                    self._apply(changes)
            except Compacted:
                log.warning("the store's history is compacted, loading anew", at=self.revision)
                await self._load_until_done()
                continue
            except StoreError as trouble:
                log.warning("the watch of the store broke", trouble=trouble)
            # A watch that ends is not asked again at once: a store that is gone would spin us.
            failure_count += 1
            pause_s = backoff_s(failure_count, base_s=RETRY_BASE_S, limit_s=RETRY_MAX_S)
            await self._clock.sleep(pause_s)

    def _apply(self, changes: Changes) -> None:
        by_collection: dict[str, list[Change]] = {}
        shown: list[Change] = []
        for change in changes.changes:
            name = collection_in(change.key)
            cache = self._collections.get(name)
            entry = None
            if change.value is not None:
                entry = Entry(change.key, change.value, change.revision)
            if cache is None:
                self._keep_plain(change.key, entry)
                continue
            item = item_of(cache.kind, entry) if entry is not None else None
            by_collection.setdefault(name, []).append((change.key, item, change.revision))
            shown.append((change.key, item, change.revision))
        # Before watches wake: a bookmark must not be behind the events that they read.
        self.revision = max(self.revision, changes.revision)
        for name, changed in by_collection.items():
            self._collections[name].apply(changed)
        self._views.apply(shown)
        self._arrived(changes.revision)

    def _keep_plain(self, key: str, entry: Entry | None) -> None:
        if entry is not None:
            self.plain[key] = entry
        else:
            self.plain.pop(key, None)

    def _arrived(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        if not self._waiting:
            return
        for wanted, _, waiter in self._waiting:
            if wanted <= self.revision and not waiter.done():
                waiter.set_result(None)
        self._waiting = [one for one in self._waiting if not one[2].done()]

    def _fail_waiting(self, error: Exception) -> None:
        for _, _, waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(error)
        for asking in self._freshening:
            if not asking.done():
                asking.set_exception(error)
        self._waiting, self._freshening = [], []
