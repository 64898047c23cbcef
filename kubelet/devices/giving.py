"""The devices of this node: looked at now and then, offered, and given before a container is made.

What is given is saved first: a kubelet that ends anywhere finds it again, and what no container
was made with is free. What runs carries what it has, so that a lost record gives nothing twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from cubernetes.api.core.parts.resources import is_extended
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.requests import requested
from cubernetes.host.durable.checkedfile import CheckedFile
from cubernetes.host.durable.files import read_or_none
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.settings import SettingsInvalid, read_settings
from kubelet.devices import book as books
from kubelet.devices.book import Book, CheckpointInvalid, NotEnough, Offer, Owner, Shelf
from kubelet.devices.driver import Device, DeviceKind, DeviceSettings, DeviceTrouble, Discovery
from kubelet.runtime.driver import (
    SANDBOX,
    Allotment,
    Container,
    DeviceFile,
    RuntimeTrouble,
    State,
)

log = Log(__name__)

LOOK_S = 3.0
LOOK_DEADLINE_S = 5.0
UNAVAILABLE = "DevicesUnavailable"  # why a container waits
RECORD, SETTINGS = ("devices", "record"), ("devices", "settings")
VARIABLE = "CUBE_DEVICES"


class Record(Protocol):
    """What was given, on the disk. Both may block; saving raises OSError."""

    def load(self) -> bytes | None: ...

    def save(self, content: bytes) -> None: ...


class Plugins(Protocol):
    """Programs that bring kinds of devices. kinds: those that have registered."""

    @property
    def kinds(self) -> Sequence[DeviceKind]: ...

    async def open(self) -> None:
        """Let them register. Raises: OSError."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Bench:
    """What a node has to do with devices; without kinds, nothing. settings may block.

    plugins: makes the door of plug-ins, where an administrator wants one.
    """

    kinds: Sequence[DeviceKind] = ()
    record: Record | None = None
    settings: Callable[[], DeviceSettings] = DeviceSettings
    plugins: Callable[[Env], Plugins] | None = None


NO_BENCH = Bench()


def settings_in(path: Path) -> DeviceSettings:
    """Return what an administrator has written of the devices; without a file, nothing.

    Raises: SettingsInvalid, OSError.
    """
    if read_or_none(path) is None:
        return DeviceSettings()
    return read_settings(DeviceSettings, path)


def bench_of(
    kinds: Sequence[DeviceKind], root: Path, settings: Path, plugins: Callable[[Env], Plugins]
) -> Bench:
    """Return this machine's: the record is in the kubelet's folder."""
    record = CheckedFile(root / "devices.checkpoint")
    return Bench(kinds, record, partial(settings_in, settings), plugins)


class Tell(Protocol):
    """Records an event about this node."""

    def __call__(self, reason: str, message: str, *, is_warning: bool) -> None: ...


class Devices:
    """found: lists this node's containers, by pod. active: the pods that may use what they have."""

    def __init__(
        self,
        bench: Bench,
        env: Env,
        found: Callable[[], Awaitable[Mapping[str, Sequence[Container]]]],
        active: Callable[[], Collection[str]],
        tell: Tell,
        on_change: Callable[[], None],
    ) -> None:
        self._bench, self._env, self._containers = bench, env, found
        self._active, self._tell, self._on_change = active, tell, on_change
        self._found: dict[str, Discovery] = {}
        self._settings = DeviceSettings()
        self._book = Book()
        self._stock: books.Stock = {}
        self._giving = asyncio.Lock()
        self._failing: dict[str, str] = {}
        self._is_read = False
        self._plugins: Plugins | None = None
        # What this node has is known: before, nobody can be told that there is too little.
        self.looked = asyncio.Event()

    @property
    def _kinds(self) -> tuple[DeviceKind, ...]:
        return (*self._bench.kinds, *(self._plugins.kinds if self._plugins is not None else ()))

    @property
    def shelf(self) -> Shelf:
        return Shelf(self._stock, self._book)

    @property
    def labels(self) -> Mapping[str, str]:
        return {key: value for one in self._found.values() for key, value in one.labels.items()}

    @property
    def offers(self) -> Mapping[str, Offer]:
        """Return what this node offers; of what it had once and has no more: none."""
        return books.offers_of(self.shelf)

    async def run(self) -> None:
        """Look at the devices now and then; one that is lost leaves the offer, and comes back."""
        if not self._bench.kinds:
            self.looked.set()
            return
        try:
            while True:
                await self._look()
                self.looked.set()
                await self._env.clock.sleep(LOOK_S)
        finally:
            await self._close_plugins()

    async def give(self, pod: Pod) -> None:
        """Give the pod's containers their devices, unless they have them; saved when this returns.

        Raises: RuntimeTrouble: there are too few; RuntimeDown.
        """
        if not any(map(is_extended, requested(pod.spec))):
            return
        await self.looked.wait()
        async with self._giving:
            needs = books.needs_of(pod.spec, books.managed(self.shelf))
            if not needs:
                return
            containers = await self._containers()
            uid = pod.metadata.uid
            runs = {one.name for one in containers.get(uid, ()) if one.state is State.RUNNING}
            live = {one[0]: one[1] for one in _held_by(containers)}
            book = books.adopted(books.kept(self._book, {*self._active(), uid}), live)
            book = books.renewed(book, self._stock, uid, runs)
            try:
                book = books.given(book, uid, needs, self._stock)
            except NotEnough as error:
                raise RuntimeTrouble(UNAVAILABLE, str(error)) from error
            await self._save(book)

    async def allotment(self, pod: Pod, container: str) -> Allotment:
        """Return what a container gets with the devices that it was given.

        Raises: RuntimeTrouble: one of them cannot be used now.
        """
        held = self._book.held.get(Owner(pod.metadata.uid, container), {})
        found = Allotment(held=books.text_of(held))
        said: dict[str, Sequence[str]] = {}
        for resource, ids in held.items():
            devices = [
                self._device(resource, one) for one in dict.fromkeys(map(books.device_of, ids))
            ]
            said[resource] = [one.id for one in devices]
            found = await self._with(found, resource, devices)
        if not held:
            return found
        ids_text = books.text_of({name: tuple(ids) for name, ids in said.items()})
        return replace(found, env={**found.env, VARIABLE: ids_text})

    async def _with(self, found: Allotment, resource: str, devices: Sequence[Device]) -> Allotment:
        """Add what some devices bring: each its own, and what their kind says of all."""
        kind = next((one for one in self._kinds if one.resource == books.kind_of(resource)), None)
        if kind is None:
            raise RuntimeTrouble(UNAVAILABLE, f"nobody knows the devices of {resource} now")
        more = await kind.allotted([one.id for one in devices])
        own = (DeviceFile(node, node) for one in devices for node in one.nodes)
        mounts = (mount for one in devices for mount in one.mounts)
        return replace(
            found,
            nodes=_once(found.nodes, (*own, *more.nodes)),
            mounts=_once(found.mounts, (*mounts, *more.mounts)),
            env={**found.env, **more.env},
        )

    def _device(self, resource: str, device_id: str) -> Device:
        devices = self._found.get(books.kind_of(resource), Discovery()).devices
        device = next((one for one in devices if one.id == device_id), None)
        if device is None or device.trouble:
            why = "is gone" if device is None else f"cannot be used: {device.trouble}"
            raise RuntimeTrouble(UNAVAILABLE, f"device {device_id} of {resource} {why}")
        return device

    async def _look(self) -> None:
        if not self._is_read:
            self._book, self._is_read = await self._recorded(), True
        await self._read_settings()
        await self._keep_plugins()
        before, labels = self._stock, self.labels
        kinds = self._kinds
        for kind in kinds:
            await self._look_at(kind)
        known = {one.resource for one in kinds}
        self._found = {name: one for name, one in self._found.items() if name in known}
        self._stock = books.stock_of(self._found, self._settings.shares)
        await self._note_offered()
        if (self._stock, self.labels) != (before, labels):
            log.info("devices found", offers=dict(self.offers))
            self._tell_of_changes(before)
            self._on_change()

    async def _note_offered(self) -> None:
        """Remember what is offered: once it is gone, the Node is to say so."""
        async with self._giving:
            offered = self._book.offered | frozenset(self._stock)
            try:
                await self._save(replace(self._book, offered=offered))
            except RuntimeTrouble as error:
                log.warning("devices not saved", why=error)

    async def _keep_plugins(self) -> None:
        """Let plug-ins register where the administrator wants it."""
        make = self._bench.plugins
        if not self._settings.plugins or make is None:
            await self._close_plugins()
        elif self._plugins is None:
            opened = make(self._env)
            try:
                await opened.open()
            except OSError as error:
                self._note_failure("plug-ins", str(error))
            else:
                self._failing.pop("plug-ins", None)
                self._plugins = opened

    async def _close_plugins(self) -> None:
        plugins, self._plugins = self._plugins, None
        if plugins is not None:
            await plugins.close()

    async def _look_at(self, kind: DeviceKind) -> None:
        """Look at one kind; where it cannot be read, none of its devices can be used."""
        discover = partial(kind.discover, self._settings)
        key = ("devices", kind.resource)
        try:
            found = await self._env.blocking.run(key, discover, deadline_s=LOOK_DEADLINE_S)
        except (DeviceTrouble, OSError) as error:
            self._note_failure(kind.resource, str(error))
            known = self._found.get(kind.resource, Discovery())
            lost = [replace(one, trouble=one.trouble or str(error)) for one in known.devices]
            self._found[kind.resource] = replace(known, devices=lost)
        else:
            self._failing.pop(kind.resource, None)
            self._found[kind.resource] = found

    async def _read_settings(self) -> None:
        """Read what the administrator says; where it cannot be understood, what was said before."""
        try:
            settings = await self._env.blocking.run(SETTINGS, self._bench.settings)
        except (SettingsInvalid, OSError) as error:
            self._note_failure(SETTINGS[1], str(error))
            return
        known = {one.resource for one in self._bench.kinds}
        if unknown := sorted(settings.shares.keys() - known):
            why = f"shares: {unknown[0]!r} is not one of {', '.join(sorted(known))}"
            self._note_failure(SETTINGS[1], why)
            return
        self._failing.pop(SETTINGS[1], None)
        self._settings = settings

    def _note_failure(self, what: str, why: str) -> None:
        if self._failing.get(what) != why:
            self._failing[what] = why
            log.warning("devices not read", what=what, why=why)
            self._tell("DevicesNotRead", f"{what}: {why}", is_warning=True)

    def _tell_of_changes(self, before: books.Stock) -> None:
        """Tell of each device that has fallen ill, is gone, or can be used again."""
        old, new = _troubles(before), _troubles(self._stock)
        for key in sorted(old):
            resource, device = key
            trouble = new.get(key, "is gone")
            if trouble and trouble != old[key]:
                message = f"device {device} of {resource} cannot be used: {trouble}"
                self._tell("DeviceUnusable", message, is_warning=True)
            elif old[key] and not trouble:
                message = f"device {device} of {resource} can be used again"
                self._tell("DeviceUsable", message, is_warning=False)

    async def _recorded(self) -> Book:
        record = self._bench.record
        content = await self._env.blocking.run(RECORD, record.load) if record is not None else None
        try:
            return books.from_checkpoint(content) if content else Book()
        except CheckpointInvalid as error:
            # What runs says itself what it has.
            log.warning("record of devices ignored", why=error)
            return Book()

    async def _save(self, book: Book) -> None:
        """Save what is given, then go by it. Raises: RuntimeTrouble: it is not saved."""
        record = self._bench.record
        if book == self._book or record is None:
            self._book = book
            return
        try:
            await self._env.blocking.run(RECORD, partial(record.save, books.checkpoint(book)))
        except OSError as error:
            raise RuntimeTrouble(UNAVAILABLE, f"record of devices not saved: {error}") from error
        self._book = book


def _held_by(
    containers: Mapping[str, Sequence[Container]],
) -> Iterator[tuple[Owner, books.Held]]:
    """Yield what containers have that run, or may be about to."""
    for uid, here in containers.items():
        for one in here:
            if one.name != SANDBOX and one.state is not State.EXITED:
                yield Owner(uid, one.name), books.held_in(one.held)


def _troubles(stock: books.Stock) -> dict[tuple[str, str], str]:
    return {
        (resource, one.device): one.trouble for resource, all_of in stock.items() for one in all_of
    }


def _once[T](known: Sequence[T], more: Sequence[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys((*known, *more)))
