"""The folder of logs that outlive their containers: filled as those go, kept within its limits."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path

from cubernetes.api.core.pod import Pod
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.waiting import wait_until
from kubelet.keptlogs.folders import collected, kept_in
from kubelet.keptlogs.retention import PRESSED_BYTES_MAX, Kept, Life, life_at, life_of
from kubelet.keptlogs.stories import Stories
from kubelet.runtime.driver import (
    SANDBOX,
    Container,
    LogOptions,
    RuntimeDown,
    RuntimeDriver,
    RuntimeTrouble,
)

log = Log(__name__)

FOLDER = ("kept logs", "folder")
LOOK_S = 60.0
# Pods that end together are looked through once.
SETTLE_S = 1.0
BYTES_MAX = 256 << 20


class KeptLogs:
    """folder: None keeps nothing. is_pressed: whether this node is short of disk.

    stories: what is kept of how containers ended.
    """

    def __init__(
        self,
        folder: Path | None,
        runtime: RuntimeDriver,
        env: Env,
        bytes_max: int = BYTES_MAX,
        is_pressed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._folder, self._runtime, self._env = folder, runtime, env
        beside = folder.with_name(f"{folder.name}-post-mortems") if folder is not None else None
        self.stories = Stories(beside, env)
        self._bytes_max, self._is_pressed = bytes_max, is_pressed
        self._has_more = asyncio.Event()
        metrics = env.metrics
        self._bytes = metrics.gauge("cube_kubelet_kept_log_bytes", "Logs of containers gone.")
        self._lost = metrics.counter(
            "cube_kubelet_lost_logs_total", "Logs that could not be kept as their container went."
        )

    async def keep(self, found: Container, pod: Pod | None) -> None:
        """Keep the log of a container that is going to be removed.

        What fails keeps no pod from its end. Raises: RuntimeDown.
        """
        life = life_of(found, pod)
        if self._folder is None or found.name == SANDBOX or life_at(life.path) is None:
            return
        try:
            await self._runtime.keep_log(found.id, self._folder / life.path)
        except RuntimeDown:
            raise
        except (RuntimeTrouble, OSError) as error:
            self._lost.inc()
            log.warning("log not kept", container=found.name, pod=found.pod_uid, why=error)
        self._has_more.set()

    async def of_pod(self, namespace: str, pod: str) -> list[Kept]:
        """Return what is kept of the pods of a name. Raises: OSError."""
        path = f"{namespace}/{pod}"
        if self._folder is None or life_at(f"{path}/0.x/x/0") is None:
            return []
        look = partial(kept_in, self._folder, path)
        return await self._env.blocking.run(("kept logs", path), look)

    def log_of(self, life: Life, options: LogOptions) -> AsyncGenerator[bytes, None]:
        """Yield a log that is kept. Raises: RuntimeTrouble."""
        assert self._folder is not None  # noqa: S101  of_pod has told of it
        return self._runtime.kept_log(self._folder / life.path, options)

    async def run(self) -> None:
        """Keep what is kept within its limits, for ever."""
        if self._folder is None:
            return
        while True:
            self._has_more.clear()
            try:
                await self._collect(self._folder)
            except OSError as error:
                log.warning("kept logs not looked through", why=error)
            await wait_until(self._has_more, LOOK_S)
            await self._env.clock.sleep(SETTLE_S)

    async def _collect(self, folder: Path) -> None:
        bytes_max, now_s = self._bytes_max, self._env.clock.now().timestamp()
        if self._is_pressed():
            bytes_max = min(bytes_max, PRESSED_BYTES_MAX)
        work = partial(collected, folder, now_s, bytes_max)
        self._bytes.set(await self._env.blocking.run(FOLDER, work))
