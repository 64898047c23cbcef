"""A configuration becomes what nginx serves: written, tested, switched to, seen served."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

from cubernetes.host.env import Env
from gateway.nginx.process import ConfigurationRefused, Nginx, NginxTrouble
from gateway.nginx.text import Configuration
from gateway.nginx.tree import Tree
from gateway.roads.compile import SELF_MADE
from gateway.tls.pairs import needs_another, self_made

DISK = ("gateway", "disk")
SERVED_S = 15.0
LOOK_S = 0.05
# For 0.1 s nginx has new workers beside the old: so many answers in a row are by new ones.
ANSWERS_IN_A_ROW = 5


class Driver:
    """One gateway's nginx. Raises: NginxTrouble, OSError: what was served before is served on."""

    def __init__(self, nginx: Nginx, tree: Tree, env: Env) -> None:
        self._nginx, self._tree, self._env = nginx, tree, env
        # What the disk has by now, as far as it is known: it is read again where that changes.
        self._certified: tuple[Mapping[str, bytes | None], Collection[str]] | None = None
        self._kept: Collection[str] | None = None

    async def begin(self, empty: Configuration) -> bool:
        """Have nginx serve what it served last, or nothing yet; tell whether it was started."""
        self._certified = self._kept = None
        await self._on_disk(self._tree.prepare)
        await self._on_disk(partial(self._renew_self_made, self._env.clock.now()))
        if not await self._on_disk(self._tree.current):
            await self._on_disk(partial(self._tree.write, empty.generation, empty.content))
            await self._on_disk(partial(self._tree.switch, empty.generation))
        return await self._nginx.ensure()

    async def certify(
        self, certificates: Mapping[str, bytes | None], names: Collection[str]
    ) -> None:
        """Have nginx serve certificates, within seconds: None is the self-made one.

        Of the others among names, what is on the disk is served on.
        """
        wanted = dict(certificates), frozenset(names)
        if wanted != self._certified:
            self._certified = None
            await self._on_disk(partial(self._certify, *wanted))
            self._certified = wanted

    async def keep_certificates(self, names: Collection[str]) -> None:
        """Forget the certificates that no configuration of now names."""
        kept = frozenset({*names, SELF_MADE})
        if kept != self._kept:
            await self._on_disk(partial(self._tree.keep_certificates, kept))
            self._kept = kept

    def _certify(self, certificates: Mapping[str, bytes | None], names: Collection[str]) -> None:
        own = self._tree.certificate(SELF_MADE) or b""
        for name in {*certificates, *names} - {"", SELF_MADE}:
            there = None if name in certificates else self._tree.certificate(name)
            self._tree.write_certificate(name, certificates.get(name) or there or own)

    def _renew_self_made(self, now: datetime) -> None:
        if needs_another(self._tree.certificate(SELF_MADE), now):
            self._tree.write_certificate(SELF_MADE, self_made(now))

    async def apply(self, wanted: Configuration) -> bool:
        """Have nginx serve a configuration; tell whether it had to be told.

        Raises: ConfigurationRefused: the one before is served on.
        """
        generation = wanted.generation
        current = await self._on_disk(self._tree.current)
        if current == generation and await self._nginx.serving() == generation:
            return False
        await self._on_disk(partial(self._tree.write, generation, wanted.content))
        try:
            await self._nginx.test(generation)
        except ConfigurationRefused:
            await self._on_disk(partial(self._tree.forget, generation))
            raise
        await self._on_disk(partial(self._tree.switch, generation))
        await self._nginx.reload()
        await self._served(generation)
        return True

    async def request_log(self) -> Path | None:
        """Return where nginx's log of requests is read; None while it does not run."""
        return await self._nginx.request_log()

    async def _served(self, generation: str) -> None:
        """Wait until no worker of before takes a connection any more."""
        until_s = self._env.clock.monotonic() + SERVED_S
        row_count = 0
        while row_count < ANSWERS_IN_A_ROW:
            if self._env.clock.monotonic() > until_s:
                raise NginxTrouble(
                    f"nginx does not serve generation {generation} {SERVED_S} s after"
                )
            is_new = await self._nginx.serving() == generation
            row_count = row_count + 1 if is_new else 0
            await self._env.clock.sleep(LOOK_S)

    async def _on_disk[T](self, work: Callable[[], T]) -> T:
        return await self._env.blocking.run(DISK, work)
