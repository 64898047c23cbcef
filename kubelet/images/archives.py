"""Images that lie on this node as archives: what is built here is in no registry.

An archive is what `docker save` and `scripts/build-images` write; its manifest says what it holds.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from functools import lru_cache, partial
from pathlib import Path

from cubernetes.host.blocking import Blocking
from cubernetes.host.log import Log
from kubelet.runtime.docker_words import names_in_archive
from kubelet.runtime.driver import RuntimeDown, RuntimeDriver

log = Log(__name__)

PIECE_BYTES = 1024 * 1024
ARCHIVES_MAX = 200
LOOK_S = 60.0
# Images of this name are built with the house, and nowhere else.
OURS = "cubernetes/"


class Archives:
    """The archives of some folders; one that cannot be read is as good as none."""

    def __init__(self, runtime: RuntimeDriver, blocking: Blocking, folders: Sequence[Path]) -> None:
        self._runtime, self._blocking, self._folders = runtime, blocking, folders

    async def load(self, image: str, tell: Callable[[str], None]) -> str | None:
        """Give the runtime an image; return its id, or None where no archive has it.

        Raises: RuntimeTrouble, OSError.
        """
        if not self._folders:
            return None
        key = ("image archives", image)
        look = partial(archive_of, image, self._folders)
        archive = await self._blocking.run(key, look, deadline_s=LOOK_S)
        if archive is None:
            return None
        tell(f"loading {archive}")
        failures: list[OSError] = []
        async with aclosing(self._pieces(archive, failures)) as pieces:
            try:
                await self._runtime.load(pieces)
            except RuntimeDown:
                # Of an upload that has no more pieces an engine's driver says no more than that.
                if failures:
                    raise failures[0] from None
                raise
        return await self._runtime.image_id(image)

    def remedy(self, image: str) -> str:
        """Return what to do where one of our images has no archive; empty for others'."""
        if not (self._folders and image.startswith(OURS)):
            return ""
        name = image.removeprefix(OURS).partition(":")[0]
        folders = " or ".join(map(str, self._folders))
        return (
            f"; no archive of it is in {folders}: scripts/build-images var/images {name} makes it"
        )

    async def _pieces(self, archive: Path, failures: list[OSError]) -> AsyncGenerator[bytes, None]:
        key = ("image archive", str(archive))
        try:
            file = await self._blocking.run(key, lambda: archive.open("rb"))
            try:
                while piece := await self._blocking.run(key, partial(file.read, PIECE_BYTES)):
                    yield piece
            finally:
                await self._blocking.run(key, file.close)
        except OSError as error:
            failures.append(error)
            raise


def archive_of(image: str, folders: Sequence[Path]) -> Path | None:
    """Return the archive that holds an image; the newest of several. May block."""
    name = image if ":" in image.rpartition("/")[2] else f"{image}:latest"
    found = [path for path in _archives_in(folders) if name in _names_in(path)]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _archives_in(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.glob("*.tar"))[:ARCHIVES_MAX]


def _names_in(path: Path) -> Sequence[str]:
    with suppress(OSError):
        about = path.stat()
        return _names_at(path, about.st_mtime_ns, about.st_size)
    return ()


@lru_cache(maxsize=4 * ARCHIVES_MAX)
def _names_at(path: Path, _mtime_ns: int, _size: int) -> Sequence[str]:
    """Return what an archive holds; it is read, and told of where it is broken, once.

    Raises: OSError.
    """
    try:
        with path.open("rb") as file:
            return names_in_archive(file)
    except ValueError as error:
        log.warning("not an archive of images", path=path, why=error)
        return ()
