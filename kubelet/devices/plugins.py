"""Kubernetes' device plug-ins: programs that bring a kind of device, over gRPC on sockets.

A plug-in registers at `kubelet.sock` and serves a socket beside it: it streams its devices, and
says what a container gets with those that the kubelet has chosen. A kubelet that begins makes its
socket anew, by which plug-ins see that they are to register again.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import grpc

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.protowire import ProtobufBroken
from kubelet.devices import pluginwords as words
from kubelet.devices.driver import Device, DeviceSettings, DeviceTrouble, Discovery
from kubelet.devices.pluginwords import Registration
from kubelet.runtime.driver import Allotment, RuntimeTrouble

log = Log(__name__)

SOCKET = "kubelet.sock"
CALL_DEADLINE_S = 30.0
PLUGINS_MAX = 32
UNAVAILABLE = "DevicesUnavailable"
SERVICE = f"/{words.VERSION}.DevicePlugin"


class PluginDevices:
    """The devices of one plug-in, as it told them last."""

    def __init__(self, asked: Registration, folder: Path, known: tuple[Device, ...] = ()) -> None:
        self.resource = asked.resource
        self._asked = asked
        self._channel = grpc.aio.insecure_channel(f"unix:{folder / asked.endpoint}")
        self.devices, self._trouble = known, ""

    def discover(self, settings: DeviceSettings) -> Discovery:  # noqa: ARG002  a plug-in says it all
        if self._trouble:
            raise DeviceTrouble(self._trouble)
        return Discovery(self.devices)

    async def follow(self) -> None:
        """Take the devices as the plug-in tells them, until it ends or this is cancelled."""
        try:
            telling = self._channel.unary_stream(f"{SERVICE}/ListAndWatch")(b"")
            async for message in telling:
                self.devices, self._trouble = words.devices_in(message), ""
            self._trouble = "its plug-in has ended"
        except grpc.aio.AioRpcError as error:
            self._trouble = f"its plug-in is away: {error.details()}"
        except ProtobufBroken as error:
            self._trouble = f"its plug-in is not understood: {error}"
        finally:
            await self._channel.close()
        log.warning("device plug-in lost", resource=self.resource, why=self._trouble)

    async def allotted(self, ids: Sequence[str]) -> Allotment:
        answer = await self._ask("Allocate", words.allocation_asked(ids))
        try:
            found = words.allocated_in(answer)
        except ProtobufBroken as error:
            raise RuntimeTrouble(UNAVAILABLE, f"plug-in of {self.resource}: {error}") from error
        if found.cdi:
            message = f"plug-in of {self.resource} wants CDI devices: {', '.join(found.cdi[:3])}"
            raise RuntimeTrouble(UNAVAILABLE, message)
        if self._asked.has_pre_start:
            await self._ask("PreStartContainer", words.ids_message(ids))
        return found.allotment

    async def _ask(self, verb: str, message: bytes) -> bytes:
        try:
            call = self._channel.unary_unary(f"{SERVICE}/{verb}")
            answer: bytes = await call(message, timeout=CALL_DEADLINE_S)
        except (grpc.aio.AioRpcError, grpc.aio.UsageError) as error:
            why = error.details() if isinstance(error, grpc.aio.AioRpcError) else error
            said = f"plug-in of {self.resource}: {verb}: {why}"
            raise RuntimeTrouble(UNAVAILABLE, said) from error
        except asyncio.CancelledError as error:
            # A channel that closes ends its calls like this: the caller was not cancelled.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            said = f"plug-in of {self.resource}: {verb}: it has ended"
            raise RuntimeTrouble(UNAVAILABLE, said) from error
        return answer


class PluginSockets:
    """The kubelet's socket in a folder, and the plug-ins that have registered there.

    own: resources that no plug-in may bring.
    """

    def __init__(self, env: Env, folder: Path, own: frozenset[str]) -> None:
        self._env, self._folder, self._own = env, folder, own
        self._server: grpc.aio.Server | None = None
        self._plugins: dict[str, PluginDevices] = {}
        self._following: dict[str, asyncio.Task[None]] = {}

    @property
    def kinds(self) -> tuple[PluginDevices, ...]:
        return tuple(self._plugins[one] for one in sorted(self._plugins))

    async def open(self) -> None:
        """Listen, unless this listens already. Raises: OSError."""
        if self._server is not None:
            return
        make = partial(self._folder.mkdir, mode=0o750, parents=True, exist_ok=True)
        await self._env.blocking.run(("devices", "plug-ins"), make)
        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(self._register)
        service = f"{words.VERSION}.Registration"
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"Register": handler}),)
        )
        try:
            server.add_insecure_port(f"unix:{self._folder / SOCKET}")
        except RuntimeError as error:
            raise OSError(f"{self._folder / SOCKET}: {error}") from error
        await server.start()
        self._server = server
        log.info("device plug-ins may register", socket=self._folder / SOCKET)

    async def close(self) -> None:
        for one in self._following.values():
            one.cancel()
        if self._following:
            await asyncio.wait(self._following.values())
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def _register(self, message: bytes, context: "grpc.aio.ServicerContext") -> bytes:
        try:
            asked = words.registration_in(message)
            why = words.refusal_of(asked)
        except ProtobufBroken as error:
            why = str(error)
        if not why and asked.resource in self._own:
            why = f"resource_name: {asked.resource} is found by the kubelet itself"
        if not why and asked.resource not in self._plugins and len(self._plugins) >= PLUGINS_MAX:
            why = f"there are {PLUGINS_MAX} plug-ins already"
        if why:
            log.warning("device plug-in refused", why=why)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, why)
        log.info("device plug-in registered", resource=asked.resource, endpoint=asked.endpoint)
        before = self._following.pop(asked.resource, None)
        if before is not None:
            before.cancel()
        known = self._plugins[asked.resource].devices if asked.resource in self._plugins else ()
        plugin = PluginDevices(asked, self._folder, known)
        self._plugins[asked.resource] = plugin
        self._following[asked.resource] = asyncio.create_task(plugin.follow())
        return b""
