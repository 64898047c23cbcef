"""Kubernetes' device plug-ins over real sockets: a plug-in as theirs are, by gRPC's own library."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from cubernetes.host.env import Env
from cubernetes.host.protowire import bytes_field, fields, varint_field
from kubelet.devices.driver import DeviceKind, DeviceSettings, DeviceTrouble
from kubelet.devices.plugins import PluginSockets
from kubelet.runtime.driver import DeviceFile, Mount, RuntimeTrouble

RESOURCE = "example.com/nic"
PATIENCE_S = 60.0


def text(number: int, value: str) -> bytes:
    return bytes_field(number, value.encode())


class PlugIn:
    """A plug-in. It tells devices by id and health, and gives each container its answer."""

    def __init__(self, folder: Path, name: str = "nic.sock") -> None:
        self.folder, self.name = folder, name
        self.asked: list[tuple[str, list[str]]] = []
        self.answer = b""
        # Whether it answers containers, or thinks.
        self.answers = asyncio.Event()
        self.answers.set()
        self._told: asyncio.Queue[dict[str, str] | None] = asyncio.Queue()
        self._server: Any = None

    async def serve(self, **devices: str) -> None:
        self._server = grpc.aio.server()
        handlers = {
            "ListAndWatch": grpc.unary_stream_rpc_method_handler(self._list),
            "Allocate": grpc.unary_unary_rpc_method_handler(self._allocate),
            "PreStartContainer": grpc.unary_unary_rpc_method_handler(self._pre_start),
        }
        service = grpc.method_handlers_generic_handler("v1beta1.DevicePlugin", handlers)
        self._server.add_generic_rpc_handlers((service,))
        self._server.add_insecure_port(f"unix:{self.folder / self.name}")
        await self._server.start()
        self.tell(**devices)

    def tell(self, **devices: str) -> None:
        self._told.put_nowait(devices)

    def end_of_telling(self) -> None:
        self._told.put_nowait(None)

    async def stop(self) -> None:
        self.end_of_telling()
        await self._server.stop(None)

    async def register(
        self, resource: str = RESOURCE, version: str = "v1beta1", *, has_pre_start: bool = False
    ) -> None:
        message = text(1, version) + text(2, self.name) + text(3, resource)
        message += bytes_field(4, varint_field(1, int(has_pre_start)))
        async with grpc.aio.insecure_channel(f"unix:{self.folder / 'kubelet.sock'}") as channel:
            call = channel.unary_unary("/v1beta1.Registration/Register")
            assert await call(message, timeout=PATIENCE_S) == b""

    async def _list(self, _message: bytes, _context: object) -> AsyncIterator[bytes]:
        while (devices := await self._told.get()) is not None:
            yield b"".join(
                bytes_field(1, text(1, name) + text(2, health)) for name, health in devices.items()
            )

    async def _allocate(self, message: bytes, _context: object) -> bytes:
        (container,) = [message[start:stop] for _, _, start, stop in fields(message)]
        self._note("Allocate", container)
        await self.answers.wait()
        return self.answer

    async def _pre_start(self, message: bytes, _context: object) -> bytes:
        self._note("PreStartContainer", message)
        return b""

    def _note(self, verb: str, message: bytes) -> None:
        ids = [message[start:stop].decode() for _, _, start, stop in fields(message)]
        self.asked.append((verb, ids))


@asynccontextmanager
async def a_kubelet(folder: Path) -> AsyncIterator[PluginSockets]:
    sockets = PluginSockets(Env(), folder, frozenset({"nvidia.com/gpu"}))
    await sockets.open()
    try:
        yield sockets
    finally:
        await sockets.close()


async def until[T](holds: Callable[[], T | None]) -> T:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if found := holds():
                return found
            await asyncio.sleep(0.02)


def devices_of(sockets: PluginSockets) -> dict[str, str]:
    (kind,) = sockets.kinds
    return {one.id: one.trouble for one in kind.discover(DeviceSettings()).devices}


async def test_a_plug_in_registers_tells_its_devices_and_says_when_one_is_ill(
    tmp_path: Path,
) -> None:
    plugin = PlugIn(tmp_path)
    await plugin.serve(a="Healthy", b="Healthy")
    async with a_kubelet(tmp_path) as sockets:
        await plugin.register()
        assert [one.resource for one in sockets.kinds] == [RESOURCE]
        await until(lambda: devices_of(sockets) == {"a": "", "b": ""})
        plugin.tell(a="Healthy", b="Unhealthy")
        ill = {"a": "", "b": "its plug-in calls it Unhealthy"}
        await until(lambda: devices_of(sockets) == ill)
        await plugin.stop()
        await until(lambda: trouble_of(sockets.kinds[0]))

        again = PlugIn(tmp_path, "again.sock")
        await again.serve(c="Healthy")
        await again.register()
        await until(lambda: devices_of(sockets) == {"c": ""})
        await again.stop()


def trouble_of(kind: DeviceKind) -> str:
    try:
        kind.discover(DeviceSettings())
    except DeviceTrouble as error:
        return str(error)
    return ""


async def test_a_container_gets_what_the_plug_in_answers(tmp_path: Path) -> None:
    plugin = PlugIn(tmp_path)
    await plugin.serve(**{"GPU-1::0": "Healthy", "x,y z": "Healthy"})
    plugin.answer = bytes_field(
        1,
        bytes_field(1, text(1, "NIC") + text(2, "eth7"))
        + bytes_field(2, text(1, "/in") + text(2, "/on") + varint_field(3, 1))
        + bytes_field(3, text(1, "/dev/nic") + text(2, "/dev/nic7") + text(3, "mrw"))
        + bytes_field(3, text(1, "/dev/ctl") + text(2, "/dev/ctl")),
    )
    async with a_kubelet(tmp_path) as sockets:
        await plugin.register(has_pre_start=True)
        ids = await until(lambda: list(devices_of(sockets)))
        # In our labels an id holds nothing that parts it from others; the plug-in hears its own.
        assert ids == ["GPU-1%3A%3A0", "x%2Cy%20z"]
        given = await sockets.kinds[0].allotted(ids)
        assert given.env == {"NIC": "eth7"}
        assert given.mounts == (Mount("/on", "/in", read_only=True),)
        assert given.nodes == (
            DeviceFile("/dev/nic7", "/dev/nic", "mrw"),
            DeviceFile("/dev/ctl", "/dev/ctl", "rw"),
        )
        said = ["GPU-1::0", "x,y z"]
        assert plugin.asked == [("Allocate", said), ("PreStartContainer", said)]

        plugin.answer = bytes_field(1, bytes_field(5, text(1, "example.com/nic=7")))
        with pytest.raises(RuntimeTrouble, match=r"wants CDI devices: example\.com/nic=7"):
            await sockets.kinds[0].allotted(ids)
        plugin.answer = b"\xff"
        with pytest.raises(RuntimeTrouble, match="varint"):
            await sockets.kinds[0].allotted(ids)
        await plugin.stop()
        with pytest.raises(RuntimeTrouble, match=f"plug-in of {RESOURCE}: Allocate"):
            await sockets.kinds[0].allotted(ids)


async def test_who_waits_for_a_plug_in_that_ends_is_told_and_is_not_cancelled(
    tmp_path: Path,
) -> None:
    plugin = PlugIn(tmp_path)
    await plugin.serve(d0="Healthy")
    async with a_kubelet(tmp_path) as sockets:
        await plugin.register()
        ids = await until(lambda: list(devices_of(sockets)))
        plugin.answers.clear()
        waiting, leaving = [asyncio.ensure_future(sockets.kinds[0].allotted(ids)) for _ in range(2)]
        await until(lambda: len(plugin.asked) == 2 or None)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving

        plugin.end_of_telling()
        with pytest.raises(RuntimeTrouble, match="Allocate: it has ended"):
            await waiting
    plugin.answers.set()
    await plugin.stop()


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"version": "v1"}, "version: must be v1beta1"),
        ({"resource": "cpu"}, "resource_name: must be a name such as"),
        ({"resource": "nvidia.com/gpu"}, "is found by the kubelet itself"),
        ({"name": "../other.sock"}, "endpoint: must be the name of a socket"),
        ({"name": ""}, "endpoint: must be the name of a socket"),
    ],
)
async def test_a_plug_in_that_cannot_be_taken_is_told_the_field(
    tmp_path: Path, how: dict[str, str], told: str
) -> None:
    plugin = PlugIn(tmp_path, how.get("name", "nic.sock"))
    async with a_kubelet(tmp_path) as sockets:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await plugin.register(how.get("resource", RESOURCE), how.get("version", "v1beta1"))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert told in str(refused.value.details())
        assert sockets.kinds == ()


async def test_a_kubelet_that_begins_again_makes_its_socket_anew(tmp_path: Path) -> None:
    plugin = PlugIn(tmp_path)
    await plugin.serve(a="Healthy")
    for _ in range(2):
        async with a_kubelet(tmp_path) as sockets:
            await plugin.register()
            assert [one.resource for one in sockets.kinds] == [RESOURCE]
            plugin.tell(a="Healthy")
            await until(lambda: devices_of(sockets) == {"a": ""})
    await plugin.stop()
