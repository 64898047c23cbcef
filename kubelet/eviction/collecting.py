"""Removes images that nobody here uses from a disk that fills up."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from cubernetes.api.bodies.images import Goes, ImageReport, ImagesReport
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.spec import every_container
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import HttpRefusal, Route
from kubelet.eviction.collection import Collection, Seen, bytes_over, collection_of, seen_after
from kubelet.eviction.room import MachineRoom
from kubelet.images.pulled import PulledImages
from kubelet.runtime.driver import LocalImage, RuntimeDown, RuntimeDriver, RuntimeTrouble

log = Log(__name__)

LOOK_S = 60.0
PASS_S = 60.0  # no removal of a pass begins later
TOLD_MAX = 300
PATH = "/images"
ROOM, ROOM_DEADLINE_S = ("machine", "image room"), 2.0


class ImageCollector:
    """pulled: the images that may go. wanted: the names of those that pods here are to have.

    room: what the machine has left; it may block. tell: told where not enough could be freed.
    """

    def __init__(
        self,
        env: Env,
        runtime: RuntimeDriver,
        pulled: PulledImages,
        wanted: Callable[[], Set[str]],
        room: Callable[[], MachineRoom],
        tell: Callable[[str], None],
    ) -> None:
        self._env, self._runtime, self._pulled = env, runtime, pulled
        self._wanted, self._room, self._tell = wanted, room, tell
        self._seen: Mapping[str, Seen] = {}
        self._turn = asyncio.Lock()
        self._removed = env.metrics.counter(
            "cube_kubelet_images_removed_total", "Images that were removed to make room."
        )

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                wanted_bytes = bytes_over((await self._room_left()).disk)
                self._report(wanted_bytes, await self.collect(wanted_bytes))
            except (OSError, RuntimeTrouble) as error:
                log.warning("images not looked through", why=error)
            await self._env.clock.sleep(LOOK_S)

    async def collect(self, wanted_bytes: int) -> int:
        """Free so much, as far as it can be done; return how many bytes were freed.

        Raises: RuntimeTrouble: the engine does not answer, so that none may be removed.
        """
        async with self._turn:
            _, plan = await self._planned(wanted_bytes)
            end_s = self._env.clock.monotonic() + PASS_S
            freed_bytes = 0
            # One that the engine does not give up must not keep those behind it.
            for one in (*plan.take, *plan.spare):
                if freed_bytes >= wanted_bytes or self._env.clock.monotonic() > end_s:
                    break
                if await self._is_removed(one):
                    freed_bytes += one.size_bytes
            return freed_bytes

    def routes(self) -> list[Route]:
        return [("GET", PATH, self.answer)]

    async def answer(self, _request: Request) -> Response:
        """Tell what would be removed now, and why the others stay. Raises: Refused."""
        try:
            room = await self._room_left()
            wanted_bytes = bytes_over(room.disk)
            async with self._turn:
                images, plan = await self._planned(wanted_bytes)
        except (OSError, RuntimeTrouble) as error:
            raise HttpRefusal(503, f"the images cannot be looked through: {error}") from error
        return Response(200, codec.encode(report_of(room, images, plan)))

    async def _room_left(self) -> MachineRoom:
        return await self._env.blocking.run(ROOM, self._room, deadline_s=ROOM_DEADLINE_S)

    async def _planned(self, wanted_bytes: int) -> tuple[Sequence[LocalImage], Collection]:
        # Before the list: what is pulled meanwhile is not taken for gone.
        own = await self._pulled.ids()
        images = await self._runtime.images()
        await self._pulled.forget(own - {one.id for one in images})
        used = await self._used(images)
        now_s = self._env.clock.monotonic()
        self._seen = seen_after(self._seen, images, used, now_s)
        return images, collection_of(images, own, used, self._seen, wanted_bytes, now_s)

    async def _used(self, images: Iterable[LocalImage]) -> set[str]:
        """Return the ids of the images that containers have, or that pods here are to have.

        Raises: RuntimeDown: of an engine that is away nothing is known.
        """
        found = {one.image_id for one in await self._runtime.containers()}
        for name in sorted(self._wanted()):
            try:
                found.add(await self._runtime.image_id(name) or "")
            except RuntimeDown:
                raise
            except RuntimeTrouble as error:
                # One pod's image must not keep all the others: what has its name stays.
                log.debug("image not resolved", image=name, why=error)
                found |= {one.id for one in images if {name, f"{name}:latest"} & {*one.names}}
        return found

    async def _is_removed(self, one: LocalImage) -> bool:
        # A pod may have come since the plan was made.
        if one.id in await self._used([one]):
            return False
        try:
            await self._runtime.remove_image(one)
        except RuntimeTrouble as error:
            log.warning("image not removed", names=one.names, why=error)
            return False
        await self._pulled.forget({one.id})
        log.info("image removed", names=one.names, bytes=one.size_bytes)
        self._removed.inc()
        return True

    def _report(self, wanted_bytes: int, freed_bytes: int) -> None:
        """Tell people where not enough could be freed."""
        if freed_bytes < wanted_bytes:
            self._tell(
                f"Failed to garbage collect required amount of images. Attempted to free "
                f"{wanted_bytes} bytes, but only found {freed_bytes} bytes eligible to free."
            )


def report_of(room: MachineRoom, images: Sequence[LocalImage], plan: Collection) -> ImagesReport:
    """Return a plan as people read it: what goes now, what would go later, and what stays."""

    def told(one: LocalImage, goes: Goes, why: str = "") -> ImageReport:
        name = min(one.names, default=one.id)
        return ImageReport(name=name, size_bytes=one.size_bytes, goes=goes, why=why)

    kept = sorted((one for one in images if one.id in plan.kept), key=lambda one: one.names)
    lines = [
        *(told(one, "now") for one in plan.take),
        *(told(one, "later", "there is room enough without it") for one in plan.spare),
        *(told(one, "no", plan.kept[one.id]) for one in kept),
    ]
    return ImagesReport(
        used_bytes=room.disk.total - room.disk.free,
        total_bytes=room.disk.total,
        wanted_bytes=plan.wanted_bytes,
        images=tuple(lines[:TOLD_MAX]),
        left_out=max(0, len(lines) - TOLD_MAX),
    )


def images_of(pods: Iterable[Pod]) -> set[str]:
    """Return the names of the images that pods are to have, unless they have finished."""
    living = (pod for pod in pods if not is_finished(pod))
    return {one.image for pod in living for one in every_container(pod.spec)}
