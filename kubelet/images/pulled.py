"""Which images this kubelet pulled itself, on its disk: it may remove these, and no others.

An engine tells only of some images that no registry gave them, and of none who asked for it. What
is not written down stays for ever: that is the safe way to be wrong.
"""

import asyncio
from collections.abc import Sequence, Set
from functools import partial
from typing import Protocol

from cubernetes.host.blocking import Blocking
from cubernetes.host.log import Log

log = Log(__name__)

IMAGES_FILE = ("checkpoint", "images")


class Record(Protocol):
    """The ids on the disk. Both may block; saving raises OSError."""

    def load_images(self) -> Sequence[str]: ...

    def save_images(self, ids: Sequence[str]) -> None: ...


class PulledImages:
    """The ids, as they stand on the disk; what the disk does not take is saved with a later one."""

    def __init__(self, record: Record, blocking: Blocking) -> None:
        self._record, self._blocking = record, blocking
        self._ids: set[str] = set()
        self._is_loaded = False
        self._turn = asyncio.Lock()

    async def ids(self) -> Set[str]:
        """Return them all; none while the disk does not answer."""
        async with self._turn:
            try:
                await self._load()
            except OSError as error:
                log.warning("pulled images not read", why=error)
                return frozenset()
            return frozenset(self._ids)

    async def add(self, image_id: str) -> None:
        async with self._turn:
            self._ids.add(image_id)
            await self._save()

    async def forget(self, ids: Set[str]) -> None:
        """Leave out images that are gone."""
        async with self._turn:
            self._ids -= ids
            await self._save()

    async def _save(self) -> None:
        try:
            await self._load()
            save = partial(self._record.save_images, sorted(self._ids))
            await self._blocking.run(IMAGES_FILE, save)
        except OSError as error:
            log.warning("pulled images not saved", why=error)

    async def _load(self) -> None:
        if not self._is_loaded:
            self._ids |= set(await self._blocking.run(IMAGES_FILE, self._record.load_images))
            self._is_loaded = True
