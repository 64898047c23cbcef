"""`cubectl cp`: files and folders from a container and to one, by the tar that it has.

What comes from a container is not trusted: nothing is written outside the place that was named,
nor through a link, and no link is made; what its tar says is shown without escape sequences.
"""

import os
import shutil
import tarfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path
from posixpath import basename, dirname, normpath
from typing import IO, NamedTuple, Self

from cubectl.objects.targets import pod_called
from cubectl.output.printers import safe, safe_lines
from cubectl.output.progress import Progress, counted
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubectl.verbs.execute import Container, Files, run_in

PIECE_BYTES = 256 * 1024
PIPE_BYTES = 1024 * 1024
NOTE_BYTES_MAX = 1024 * 1024
NOTES_MAX = 8  # of one member; a tar writes three at most
ENDS = ("EmptyHeaderError", "EOFHeaderError")  # of the archive
NOTES = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip


class There(NamedTuple):
    """A path in a container."""

    namespace: str
    pod: str
    path: str

    def container(self, name: str) -> Container:
        return Container(self.namespace, self.pod, name)


def configure(parser: ArgumentParser) -> None:
    parser.usage = "cubectl cp [-c CONTAINER] [NAMESPACE/]POD:PATH PATH | PATH [NAMESPACE/]POD:PATH"
    parser.add_argument("words", nargs="*", metavar="FROM TO")
    parser.add_argument("-c", "--container", default="")


def run(options: Namespace, session: Session) -> None:
    if len(options.words) != 2:
        raise Misused("source and destination are required: cubectl cp web-0:/etc/motd motd")
    source, target = (place_in(word, session) for word in options.words)
    if isinstance(source, There) and isinstance(target, str):
        _fetch(session, source, target, options.container)
    elif isinstance(source, str) and isinstance(target, There):
        _bring(session, source, target, options.container)
    else:
        raise Misused("one of source and destination must be POD:PATH, and the other one a path")


def place_in(word: str, session: Session) -> There | str:
    """Return what a word means: a path here, or one in a container. Raises: Misused."""
    before, colon, path = word.partition(":")
    if not colon or before.startswith((".", "/")):
        return word
    if not path or not before:
        raise Misused(f"{word!r}: write POD:PATH; filepath can not be empty")
    namespace, slash, pod = before.rpartition("/")
    if namespace.count("/") or (slash and not namespace):
        raise Misused(f"{word!r}: write [NAMESPACE/]POD:PATH")
    return There(namespace or session.namespace, pod_called(pod, session.kinds, "no pod"), path)


def _fetch(session: Session, there: There, here: str, container: str) -> None:
    """Copy from a container. Raises: Failed."""
    path = normpath(there.path)
    name = basename(path)
    folder = (dirname(path) or ".") if name not in ("", ".", "..") else path
    name = name if name not in ("", ".", "..") else "."
    command = ["tar", "-cf", "-", "-C", folder, f"./{name}" if name != "." else "."]
    reader, writer = _pipe()
    progress = Progress(session.err, session.monotonic, safe(name))
    unpacking = Unpacking(reader, name, Path(here), progress)
    files = Files(stdout=writer, ours=writer, beside=unpacking.run)
    try:
        code = _run(session, there.container(container), command, files)
    finally:
        progress.end()
    for warning in unpacking.warnings:
        session.tell(f"warning: {safe(warning)}")
    # An archive that is empty is told by the exit code of its tar.
    if unpacking.trouble is not None and (unpacking.count or not code):
        raise Failed(f"{here}: {safe(str(unpacking.trouble))}")
    if code or not unpacking.count:
        raise Failed(f"{there.pod}:{there.path}: tar ended with exit code {code}")


def _bring(session: Session, here: str, there: There, container: str) -> None:
    """Copy to a container. Raises: Failed."""
    if not os.path.lexists(here):
        raise Failed(f"{here}: no such file or directory")
    path = there.path
    with open(os.devnull, "wb") as nowhere:
        files = Files(stdout=nowhere.fileno(), told=shown)
        code = run_in(session, there.container(container), ["test", "-d", path], files)
        is_folder = code == 0
    if is_folder:
        path = f"{path.rstrip('/')}/{os.path.basename(os.path.abspath(here))}"
    path = normpath(path)
    command = ["tar", "-xmf", "-", "-C", dirname(path) or "."]
    reader, writer = _pipe()
    progress = Progress(session.err, session.monotonic, safe(basename(path)))
    packing = Packing(writer, Path(here), basename(path), progress)
    files = Files(stdin=reader, ours=reader, beside=packing.run)
    try:
        code = _run(session, there.container(container), command, files)
    finally:
        progress.end()
    for warning in packing.warnings:
        session.tell(f"warning: {safe(warning)}")
    if packing.trouble is not None:
        raise Failed(f"{here}: {safe(str(packing.trouble))}")
    if code:
        raise Failed(f"{there.pod}:{there.path}: tar ended with exit code {code}")


def _pipe() -> tuple[int, int]:
    """Return a pipe that holds as much as this system lets it: a turn of both sides costs."""
    reader, writer = os.pipe()
    with suppress(OSError):  # a user may have so much in all pipes together
        fcntl(writer, F_SETPIPE_SZ, PIPE_BYTES)
    return reader, writer


def _run(session: Session, there: Container, command: Sequence[str], files: Files) -> int:
    """Run a command there, and what stands beside it; return the command's code."""
    try:
        return run_in(session, there, command, files._replace(told=shown))
    except BrokenPipeError:
        return 1  # what stood beside it has given up, and says why


def shown(text: bytes) -> bytes:
    """Return what the tar of a container has said as a terminal may be given it."""
    return safe_lines(text.decode(errors="backslashreplace")).encode()


class Unpacking:
    """Writes what a tar holds of one name to a place here."""

    def __init__(self, reader: int, name: str, place: Path, progress: Progress) -> None:
        self._reader, self._name, self._place, self._progress = reader, name, place, progress
        self.warnings: list[str] = []
        self.trouble: Exception | None = None
        self.count = 0

    def run(self) -> None:
        try:
            with (
                os.fdopen(self._reader, "rb") as file,
                Archive.open(
                    fileobj=counted(file, self._progress),
                    mode="r|",
                    bufsize=PIECE_BYTES,
                    tarinfo=Member,
                ) as tar,
            ):
                for member in tar:
                    self.count += 1
                    self._take(tar, member)
        except (tarfile.TarError, OSError, ValueError) as error:
            self.trouble = error

    def _take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Raises: OSError, ValueError: what the archive holds was not asked for."""
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if self._name != ".":
            if parts[:1] != [self._name]:
                raise ValueError(f"tar contents corrupted: {member.name[:200]!r} was not asked for")
            parts = parts[1:]
        if ".." in parts:
            self.warnings.append(f"file {member.name!r} is outside target destination, skipping")
            return
        if not member.isdir() and not member.isreg():
            self.warnings.append(f"skipping {member.name!r}: it is no file and no folder")
            return
        if member.issparse():
            # A few bytes would be a disk full of zeros; a tar sends none that is not told to.
            raise ValueError(f"{member.name[:200]!r} is a sparse file of tar -S, which is not read")
        target = self._target(parts, is_folder=member.isdir())
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            return
        source = tar.extractfile(member)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(target, flags, member.mode & 0o777), "wb") as file:
            if source is not None:
                shutil.copyfileobj(source, file, PIECE_BYTES)

    def _target(self, parts: Sequence[str], *, is_folder: bool) -> Path:
        """Return where a member is written. Raises: ValueError: a link leads it elsewhere."""
        if not parts:  # what was asked for itself
            is_into = not is_folder and self._place.is_dir()
            return self._place / self._name if is_into else self._place
        target = self._place.joinpath(*parts)
        # Before a folder is made: that, too, would be made where a link leads.
        if not target.parent.resolve().is_relative_to(self._place.resolve()):
            raise ValueError(f"{target}: a link leads out of {self._place}")
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


class Archive(tarfile.TarFile):
    """An archive that is read. headers_begun: of the member that is being read now."""

    headers_begun = 0


class Member(tarfile.TarInfo):
    """A member as a header tells it; the library takes one that is damaged for the end.

    It holds names and notes in memory, and calls itself for what each of them is about, so they
    have limits.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """Raises: ReadError. HeaderError: here is the archive's end."""
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if type(error).__name__ in ENDS:  # they are not among the library's public names
                raise
            raise tarfile.ReadError(f"tar contents corrupted: {error}") from error

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        """Take in what comes behind this header: the library calls it for each, notes included.

        Raises: ReadError.
        """
        assert isinstance(archive, Archive)  # noqa: S101  nothing else is opened with this class
        if self.size < 0 or (self.type in NOTES and self.size > NOTE_BYTES_MAX):
            raise tarfile.ReadError(f"tar contents corrupted: a header of {self.size} bytes")
        if archive.headers_begun > NOTES_MAX:
            raise tarfile.ReadError(f"tar contents corrupted: over {NOTES_MAX} notes of one member")
        archive.headers_begun += 1
        try:
            return super()._proc_member(archive)  # type: ignore[no-any-return,misc]  # has no types
        finally:
            archive.headers_begun -= 1


class Sent(tarfile.TarFile):
    """An archive that is written; of a socket the library makes nothing, and says nothing."""

    def gettarinfo(
        self,
        name: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
        arcname: str | None = None,
        fileobj: IO[bytes] | None = None,
    ) -> tarfile.TarInfo:
        if made := super().gettarinfo(name, arcname, fileobj):
            return made
        socket = tarfile.TarInfo(arcname or "")
        socket.type = tarfile.FIFOTYPE  # as little a file as a pipe is
        return socket


class Packing:
    """Writes a file or a folder as a tar, under another name and as nobody's."""

    def __init__(self, writer: int, source: Path, name: str, progress: Progress) -> None:
        self._writer, self._source, self._name, self._progress = writer, source, name, progress
        self.warnings: list[str] = []
        self.trouble: Exception | None = None

    def run(self) -> None:
        try:
            with (
                os.fdopen(self._writer, "wb") as file,
                Sent.open(
                    fileobj=counted(file, self._progress),
                    mode="w|",
                    format=tarfile.GNU_FORMAT,
                    bufsize=PIECE_BYTES,
                ) as tar,
            ):
                tar.add(self._source, self._name, filter=self._taken)
        except BrokenPipeError:
            return  # the tar there has ended, and says why
        except (tarfile.TarError, OSError, ValueError) as error:
            self.trouble = error

    def _taken(self, member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        """Return a member as it is sent; None: a device, pipe or socket is not made there."""
        if member.isdev():
            if member.name == self._name:
                raise ValueError("it is no file, folder or link")
            self.warnings.append(f"skipping {member.name!r}: it is no file, folder or link")
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member


VERB = Verb(configure, run)
