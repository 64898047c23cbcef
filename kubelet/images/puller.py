"""Fetching images for all pods of a node: so many at a time, each once for all that ask alike."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from cubernetes.host.clock import Clock
from kubelet.images.archives import Archives
from kubelet.images.pulled import PulledImages
from kubelet.runtime.driver import Login, RuntimeDown, RuntimeDriver, RuntimeTrouble

# Told when a pull has news: how far it is.
type Tell = Callable[[str], None]
WAITS = "waiting for other pulls"
# For how long a pull goes on that nobody wants to hear of: the next pod may want it.
ALONE_S = 60.0
# After so long no other login is tried: a registry that refuses one says so soon.
LOGINS_S = 120.0

type _Key = tuple[str, tuple[Login, ...]]


class _Pull:
    """One pull that has begun or waits for its turn, and who wants to hear of it."""

    def __init__(self, work: Callable[[Tell], Coroutine[None, None, float]]) -> None:
        self.text = WAITS
        self.listeners: list[Tell] = []
        self.task = asyncio.create_task(work(self.tell))
        self.leaving: asyncio.TimerHandle | None = None

    def tell(self, text: str) -> None:
        self.text = text
        for listener in self.listeners:
            listener(text)

    def stay(self) -> None:
        """Somebody wants it again, or it has ended."""
        if self.leaving is not None:
            self.leaving.cancel()
            self.leaving = None


class Puller:
    """`at_once` pulls at most are under way; pulls of one image with one set of logins are one.

    pulled: where images that were not here before are written down. archives: where an image is
    looked for first, if it is not here.
    """

    def __init__(
        self,
        runtime: RuntimeDriver,
        clock: Clock,
        at_once: int,
        pulled: PulledImages,
        archives: Archives | None = None,
    ) -> None:
        self._archives = archives
        self._runtime, self._clock, self._pulled = runtime, clock, pulled
        self._turns = asyncio.Semaphore(at_once)
        self._running: dict[_Key, _Pull] = {}

    async def pull(self, image: str, logins: Sequence[Login], tell: Tell) -> float:
        """Fetch an image; return how many seconds the fetching took.

        It goes on for a while where its caller is cancelled: the next one may want it. One that
        still waits for its turn is given up. A caller with other logins, or with none, has a pull
        of its own: a login is no other pod's.

        Raises: RuntimeTrouble.
        """
        key = (image, tuple(logins))
        pull = self._running.get(key)
        if pull is None:
            pull = self._running[key] = _Pull(partial(self._pull, image, logins))
            pull.task.add_done_callback(partial(self._ended, key, pull))
        tell(pull.text)
        with self._listening(key, pull, tell):
            return await asyncio.shield(pull.task)

    async def close(self) -> None:
        """End every pull."""
        tasks = [one.task for one in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @contextmanager
    def _listening(self, key: _Key, pull: _Pull, tell: Tell) -> Iterator[None]:
        pull.stay()
        pull.listeners.append(tell)
        try:
            yield
        finally:
            pull.listeners.remove(tell)
            if not pull.listeners and not pull.task.done():
                alone_s = 0.0 if pull.text == WAITS else ALONE_S
                pull.leaving = asyncio.get_running_loop().call_later(
                    alone_s, self._give_up, key, pull
                )

    def _give_up(self, key: _Key, pull: _Pull) -> None:
        # Out of sight first: who asks now is not to wait for one that is being ended.
        del self._running[key]
        pull.task.cancel()

    def _ended(self, key: _Key, pull: _Pull, task: asyncio.Future[float]) -> None:
        pull.stay()
        if self._running.get(key) is pull:
            del self._running[key]
        if not task.cancelled():
            # Seen here, so that a failure nobody waits for any more is no loose end.
            task.exception()

    async def _pull(self, image: str, logins: Sequence[Login], tell: Tell) -> float:
        async with self._turns:
            began_at_s = self._clock.monotonic()
            tell("")
            failures: list[RuntimeTrouble] = []
            remedy = await self._load(image, tell, failures)
            if remedy is None:
                return self._clock.monotonic() - began_at_s
            logins_at_s = self._clock.monotonic()
            for index, login in enumerate(logins or (None,)):
                if index and self._clock.monotonic() - logins_at_s > LOGINS_S:
                    break
                try:
                    before = await self._runtime.image_id(image)
                    found = await self._runtime.pull(image, login, tell)
                    # An image that was here already is not the kubelet's to collect.
                    if found != before:
                        await self._pulled.add(found)
                    return self._clock.monotonic() - began_at_s
                except RuntimeDown:
                    raise
                except RuntimeTrouble as error:
                    failures.append(error)
        # Each login has its reason; the last one's word is the pull's.
        said = dict.fromkeys(str(one) for one in failures)
        raise RuntimeTrouble(failures[-1].reason, "; ".join(said) + remedy)

    async def _load(self, image: str, tell: Tell, failures: list[RuntimeTrouble]) -> str | None:
        """Load an image that is not here from an archive of this node.

        Returns: None: it is loaded; else what a failed pull is to say besides.

        Raises: RuntimeDown.
        """
        if self._archives is None or await self._runtime.image_id(image) is not None:
            return ""
        try:
            found = await self._archives.load(image, tell)
        except RuntimeDown:
            raise
        except OSError as error:
            failures.append(RuntimeTrouble("ErrImagePull", f"{image}: its archive: {error}"))
            return ""
        except RuntimeTrouble as error:
            failures.append(error)
            return ""
        if found is None:
            return self._archives.remedy(image)
        await self._pulled.add(found)
        return None
