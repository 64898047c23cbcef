"""What was known of each abnormal end, in files beside the logs: it outlives Event, pod and log."""

from functools import partial
from pathlib import Path

import msgspec

from cubernetes.api.bodies.postmortem import PostMortem
from cubernetes.api.coding import codec
from cubernetes.host.durable.files import write_atomic
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from kubelet.keptlogs.folders import kept_in, take_away
from kubelet.keptlogs.ledger import Ledger
from kubelet.keptlogs.retention import Kept, Life, life_at

log = Log(__name__)

FILE = "post-mortem.json"
# One after another: who takes away folders that are empty takes none that is to be filled.
WRITING = ("post-mortems", "written")
# All of a node together; beside that as many, and for as long, as logs of lives that are over.
BYTES_MAX = 8 << 20
DEADLINE_S = 10.0
# Of the pods of one name, in one answer: the newest.
ANSWER_BYTES_MAX = 512 * 1024


class Stories:
    """folder: None keeps nothing."""

    def __init__(self, folder: Path | None, env: Env) -> None:
        self._folder, self._env = folder, env
        # What the folder holds; read from it before the first is written.
        self._ledger: Ledger | None = None

    async def keep(self, life: Life, told: PostMortem) -> None:
        """Keep what is known of an end; what fails holds up nobody, and is logged."""
        if self._folder is None or life_at(life.path) is None:
            return
        now_s = self._env.clock.now().timestamp()
        work = partial(self._write, self._folder, life, codec.encode(told), now_s)
        try:
            await self._env.blocking.run(WRITING, work, deadline_s=DEADLINE_S)
        except OSError as error:
            log.warning("post-mortem not kept", container=life.container, pod=life.uid, why=error)

    def _write(self, folder: Path, life: Life, content: bytes, now_s: float) -> None:
        if self._ledger is None:
            self._ledger = Ledger(kept_in(folder, ""), BYTES_MAX)
        place = folder / life.path
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(place / FILE, content)
        written = Kept(life, place.stat().st_mtime, len(content))
        take_away(folder, self._ledger.surplus_with(written, now_s))

    async def of_pod(self, namespace: str, pod: str) -> list[PostMortem]:
        """Return what is kept of the pods of a name, the newest first. Raises: OSError."""
        path = f"{namespace}/{pod}"
        if self._folder is None or life_at(f"{path}/0.x/x/0") is None:
            return []
        read = partial(_read, self._folder, path)
        key = ("post-mortems", path)
        return await self._env.blocking.run(key, read, deadline_s=DEADLINE_S)


def _read(folder: Path, path: str) -> list[PostMortem]:
    """Read what is kept under a path, the newest first; but what goes meanwhile, or is broken."""
    found, left = [], ANSWER_BYTES_MAX
    kept = kept_in(folder, path)
    for one in sorted(kept, key=lambda one: one.life[2:], reverse=True):
        left -= one.size_bytes
        if left < 0:
            break
        try:
            text = (folder / one.life.path / FILE).read_bytes()
            found.append(codec.decode(PostMortem, text))
        except (FileNotFoundError, msgspec.DecodeError):
            continue
    return found
