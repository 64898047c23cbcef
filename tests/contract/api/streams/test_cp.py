"""`cubectl cp` with a container whose tar says what a test tells it to."""

import asyncio
import io
import os
import stat
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kubelet.runtime.driver import Output
from kubelet.runtime.fake_exec import Command
from tests.contract.api.streams.world import DEADLINE_S, ExecWorld, an_exec_world

BIG = bytes(range(256)) * 2_000


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ExecWorld]:
    async with an_exec_world(tmp_path) as made:
        yield made


def program(world: ExecWorld, argv: tuple[str, ...], command: Command) -> None:
    """Let the container have a program that does so."""
    life = world.machine.lives[world.container_id]
    life.behaviour = replace(life.behaviour, commands={**life.behaviour.commands, argv: command})


def tar_of(*members: tuple[str, bytes | None, str]) -> bytes:
    """Return an archive of names, contents (None: a folder), and what they link to, if anything."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for name, content, link in members:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            if link:
                info.type, info.linkname = tarfile.SYMTYPE, link
            info.size, info.mode = len(content or b""), 0o755 if content is None else 0o640
            tar.addfile(info, io.BytesIO(content or b""))
    return held.getvalue()


def sends(world: ExecWorld, folder: str, name: str, text: bytes, exit_code: int = 0) -> None:
    pieces = [Output(False, text[at : at + 60_000]) for at in range(0, len(text), 60_000)]
    argv = ("tar", "-cf", "-", "-C", folder, name)
    program(world, argv, Command(pieces, exit_code=exit_code))


async def test_a_file_and_a_folder_are_fetched(world: ExecWorld, tmp_path: Path) -> None:
    sends(world, "/srv", "./big", tar_of(("./big", BIG, "")))
    await world.cluster.ok("cp", "web-0:/srv/big", str(tmp_path / "big"))
    assert (tmp_path / "big").read_bytes() == BIG
    assert (tmp_path / "big").stat().st_mode & 0o777 == 0o640
    (tmp_path / "into").mkdir()
    await world.cluster.ok("cp -c main", "default/web-0:/srv/big", str(tmp_path / "into"))
    assert (tmp_path / "into/big").read_bytes() == BIG
    archive = tar_of(("./site", None, ""), ("./site/a", b"A", ""), ("./site/b/c", b"C", ""))
    sends(world, "/srv", "./site", archive)
    await world.cluster.ok("cp", "web-0:/srv/site/", str(tmp_path / "copy"))
    assert (tmp_path / "copy/a").read_bytes() == b"A"
    assert (tmp_path / "copy/b/c").read_bytes() == b"C"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("/etc/cron", b"x", "")], "tar contents corrupted"),
        ([("other", b"x", "")], "tar contents corrupted"),
        ([("./site/../../out", b"x", "")], "outside target destination, skipping"),
        ([("./site/link", b"", "/etc")], "skipping './site/link'"),
    ],
)
async def test_an_archive_writes_nowhere_but_where_it_was_asked_to(
    world: ExecWorld, tmp_path: Path, members: list[tuple[str, bytes | None, str]], said: str
) -> None:
    sends(world, "/srv", "./site", tar_of(("./site", None, ""), *members))
    (tmp_path / "here").mkdir()
    told = await world.cluster.cubectl("cp", "web-0:/srv/site", str(tmp_path / "here/copy"))
    assert said in told.err
    found = sorted(
        str(one.relative_to(tmp_path / "here")) for one in (tmp_path / "here").rglob("*")
    )
    assert found == ["copy"]


async def test_a_link_that_is_here_already_leads_nowhere(world: ExecWorld, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/sub").symlink_to(tmp_path / "out")
    (tmp_path / "copy/file").symlink_to(tmp_path / "out/file")
    for name in ("sub/x", "sub/folder/x", "file"):
        archive = tar_of(("./site", None, ""), (f"./site/{name}", b"x", ""))
        sends(world, "/srv", "./site", archive)
        told = await world.cluster.cubectl("cp", "web-0:/srv/site", str(tmp_path / "copy"))
        assert told.code == 1
    assert list((tmp_path / "out").iterdir()) == []


def header(name: str, size_bytes: int = 0, kind: bytes = tarfile.REGTYPE, mode: int = 0) -> bytes:
    """Return how a member of an archive begins, whatever comes then."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mode, info.linkname = size_bytes, kind, mode, "/etc/passwd"
    return info.tobuf(tarfile.GNU_FORMAT)


def noted(notes: dict[str, str]) -> bytes:
    """Return a member's notes, as POSIX has them, which stand before its header."""
    info = tarfile.TarInfo("./site/file")
    info.pax_headers = notes
    return info.tobuf(tarfile.PAX_FORMAT)[:-BLOCK]


BLOCK = tarfile.BLOCKSIZE
FILE = header("./site/file", 1, mode=0o6755) + b"x".ljust(BLOCK, b"\0")
END = bytes(2 * BLOCK)
LONG_NAME = header("././@LongLink", 2, tarfile.GNUTYPE_LONGNAME) + b"a\0".ljust(BLOCK, b"\0")
SPARSE = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 50)}


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        (FILE + b"?" * BLOCK + header("./site/late") + END, "tar contents corrupted"),
        (
            FILE + header("././@LongLink", 1 << 40, tarfile.GNUTYPE_LONGNAME),
            f"a header of {1 << 40} bytes",
        ),
        (FILE + header("././@Pax", 1 << 40, tarfile.XHDTYPE), f"a header of {1 << 40} bytes"),
        (FILE + LONG_NAME * 2_000 + header("./site/a") + END, "over 8 notes of one member"),
        (FILE + noted({"uname": "a"}) * 2_000 + END, "over 8 notes of one member"),
        (FILE + header("./site/less", -BLOCK) + END, "a header of -"),
        (FILE + header("./site/more", 1 << 60), "unexpected end of data"),
        (FILE + noted(SPARSE) + header("./site/holes", 1) + bytes(BLOCK) + END, "sparse file"),
        (FILE + noted({"path": "./site/a\0b"}) + header("./site/a") + END, "embedded null"),
    ],
    ids=[
        "rubbish",
        "long-name",
        "long-notes",
        "names",
        "notes",
        "less-than-none",
        "cut",
        "sparse",
        "nul",
    ],
)
async def test_an_archive_that_is_none_is_told_and_the_copy_has_failed(
    world: ExecWorld, tmp_path: Path, archive: bytes, said: str
) -> None:
    sends(world, "/srv", "./site", header("./site", 0, tarfile.DIRTYPE, 0o755) + archive)
    told = await world.cluster.cubectl("cp", "web-0:/srv/site", str(tmp_path / "copy"))
    assert (told.code, said in told.err) == (1, True), told.err
    assert "Traceback" not in told.err
    # What came before is there, with no right that was not asked for.
    assert (tmp_path / "copy/file").stat().st_mode & 0o7777 == 0o755
    assert sum(one.stat().st_size for one in (tmp_path / "copy").iterdir()) == 1


def filed(name: str) -> bytes:
    """Return a member that is a file of a byte."""
    return header(name, 1, mode=0o644) + b"x".ljust(BLOCK, b"\0")


def linked(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> bytes:
    """Return a member that is a link."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, to, 0o777
    return info.tobuf(tarfile.GNU_FORMAT)


async def test_no_file_is_written_through_a_link_that_the_archive_brings(
    world: ExecWorld, tmp_path: Path
) -> None:
    """First the link, then a file behind it and one in its place, as such attacks go."""
    here = tmp_path / "here"
    (here / "out").mkdir(parents=True)
    (here / "copy").mkdir()
    ways = ("/etc", "../out", "..", ".", "site/sub", "/proc/self/fd/1")
    archive = header("./site", 0, tarfile.DIRTYPE, 0o755)
    expected = []
    for index, to in enumerate(ways):
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            name = f"{index}-{kind.decode()}"
            archive += linked(f"./site/{name}", to, kind) + linked(f"./site/{name}.own", to, kind)
            archive += filed(f"./site/{name}/file") + filed(f"./site/{name}.own")
            expected += [f"copy/{name}.own", f"copy/{name}/file"]
    sends(world, "/srv", "./site", archive + END)
    told = await world.cluster.cubectl("cp", "web-0:/srv/site", str(here / "copy"))
    links = told.err.count("it is no file and no folder")
    assert (told.code, links) == (0, 4 * len(ways)), told.err
    found = [one for one in here.rglob("*") if one.is_symlink() or not one.is_dir()]
    assert sorted(str(one.relative_to(here)) for one in found) == sorted(expected)
    assert not any(one.is_symlink() or one.stat().st_nlink > 1 for one in found)


@pytest.mark.parametrize("name", ["/etc/x", "//etc/x", "../site/x"])
async def test_no_name_leads_out_of_the_place_that_was_named(
    world: ExecWorld, tmp_path: Path, name: str
) -> None:
    here = tmp_path / "here"
    (here / "copy").mkdir(parents=True)
    outside = ("./site/../../x", "./site/./../x", "./site/a/../../../x")
    archive = b"".join(filed(one) for one in (*outside, name))
    sends(world, "/srv", "./site", header("./site", 0, tarfile.DIRTYPE, 0o755) + archive + END)
    told = await world.cluster.cubectl("cp", "web-0:/srv/site", str(here / "copy"))
    assert (told.code, told.err.count("outside target destination")) == (1, len(outside))
    assert "was not asked for" in told.err
    assert [str(one.relative_to(here)) for one in here.rglob("*")] == ["copy"]


async def test_what_a_container_says_cannot_command_our_terminal(
    world: ExecWorld, tmp_path: Path
) -> None:
    """Neither by names in an archive nor by what its tar writes, on both ways."""
    escape = "\x1b]0;owned\x07\x1b[2J\u202e"
    named = header(f"./site/{escape}", kind=tarfile.CHRTYPE) + END
    pieces = [Output(True, f"tar: {escape}\r\n".encode() + b"\xff\x9b1m"), Output(False, named)]
    folder = Output(False, header("./site", 0, tarfile.DIRTYPE, 0o755))
    pieces.insert(1, folder)
    program(world, ("tar", "-cf", "-", "-C", "/srv", "./site"), Command(pieces))
    told = [await world.cluster.cubectl("cp", "web-0:/srv/site", str(tmp_path / "copy"))]
    said = [Output(True, f"tar: {escape}\n".encode())]
    program(world, ("test", "-d", "/srv/one"), Command(said, exit_code=1))
    program(world, ("tar", "-xmf", "-", "-C", "/srv"), Command(said, exit_code=2))
    (tmp_path / "one").write_bytes(b"1")
    told.append(await world.cluster.cubectl("cp", str(tmp_path / "one"), "web-0:/srv/one"))
    for one in told:
        text = one.out + one.err
        assert "tar: \\x1b]0;owned" in text
        assert all(letter.isprintable() or letter == "\n" for letter in text), text
    assert [one.code for one in told] == [0, 1]


async def test_no_device_pipe_or_socket_goes_into_a_container(
    world: ExecWorld, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/file").write_bytes(b"1")
    os.mkfifo(tmp_path / "site/pipe")
    os.mknod(tmp_path / "site/socket", stat.S_IFSOCK | 0o600)
    (tmp_path / "site/link").symlink_to("/etc/shadow")
    os.link(tmp_path / "site/file", tmp_path / "site/twin")
    program(world, ("test", "-d", "/srv/copy"), Command(exit_code=1))
    program(world, ("tar", "-xmf", "-", "-C", "/srv"), Command(echoes=True))
    process = await world.cluster.start("cp", str(tmp_path / "site"), "web-0:/srv/copy")
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert process.returncode == 0
    for left_out in (b"pipe", b"socket"):
        assert b"warning: skipping 'copy/%b': it is no file, folder or link" % left_out in err
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        kinds = {one.name: (one.type, one.linkname) for one in tar}
    assert kinds.pop("copy/link") == (tarfile.SYMTYPE, "/etc/shadow")  # as a link, not followed
    assert set(kinds) == {"copy", "copy/file", "copy/twin"}
    for name in ("pipe", "socket"):
        told = await world.cluster.cubectl("cp", str(tmp_path / "site" / name), "web-0:/srv/copy")
        assert (told.code, "it is no file, folder or link" in told.err) == (1, True)


async def test_what_is_no_file_is_left_out_and_names_are_as_they_are(
    world: ExecWorld, tmp_path: Path
) -> None:
    odd = ("-rf", "a b\nc", "$(x)")
    kinds = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    archive = b"".join(header(f"./site/{name}", mode=0o644) for name in odd)
    archive += b"".join(header(f"./site/{kind.decode()}", kind=kind) for kind in kinds)
    sends(world, "/srv", "./site", archive + END)
    told = await world.cluster.cubectl("cp", "web-0:/srv/site", str(tmp_path / "copy"))
    assert (told.code, told.err.count("it is no file and no folder")) == (0, len(kinds))
    assert sorted(one.name for one in (tmp_path / "copy").iterdir()) == sorted(odd)


async def test_what_tar_says_is_told_and_the_copy_has_failed(
    world: ExecWorld, tmp_path: Path
) -> None:
    sends(world, "/srv", "./none", b"", exit_code=1)
    told = await world.cluster.cubectl("cp", "web-0:/srv/none", str(tmp_path / "none"))
    assert (told.code, "tar ended with exit code 1" in told.err) == (1, True)
    whole = tar_of(("./big", BIG, ""))
    sends(world, "/srv", "./big", whole[: len(whole) // 2])
    told = await world.cluster.cubectl("cp", "web-0:/srv/big", str(tmp_path / "big"))
    assert (told.code, "unexpected end of data" in told.err) == (1, True)


async def test_a_folder_is_brought_under_the_name_that_it_gets_there(
    world: ExecWorld, tmp_path: Path
) -> None:
    (tmp_path / "site/sub").mkdir(parents=True)
    (tmp_path / "site/sub/big").write_bytes(BIG)
    program(world, ("test", "-d", "/srv/copy"), Command(exit_code=1))
    program(world, ("tar", "-xmf", "-", "-C", "/srv"), Command(echoes=True))
    process = await world.cluster.start("cp", str(tmp_path / "site"), "web-0:/srv/copy")
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        assert tar.getnames() == ["copy", "copy/sub", "copy/sub/big"]
        file = tar.extractfile("copy/sub/big")
        assert file is not None
        assert file.read() == BIG
        assert {(one.uid, one.gid, one.uname) for one in tar} == {(0, 0, "")}


async def test_a_file_goes_into_a_folder_that_is_there(world: ExecWorld, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    program(world, ("test", "-d", "/srv"), Command())
    program(world, ("tar", "-xmf", "-", "-C", "/srv"), Command(echoes=True))
    process = await world.cluster.start("cp", str(tmp_path / "one"), "web-0:/srv")
    async with asyncio.timeout(DEADLINE_S):
        out, _ = await process.communicate()
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        assert tar.getnames() == ["one"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("web-0:/etc/motd",), 2, "source and destination are required"),
        (("a", "b"), 2, "one of source and destination must be POD:PATH"),
        (("web-0:/a", "web-0:/b"), 2, "one of source and destination must be POD:PATH"),
        (("web-0:", "b"), 2, "filepath can not be empty"),
        (("a/b/web-0:/x", "b"), 2, "[NAMESPACE/]POD:PATH"),
        (("/no/such", "web-0:/x"), 1, "no such file or directory"),
        (("web-9:/x", "b"), 1, "web-9"),
    ],
)
async def test_what_cannot_be_copied_is_told(
    world: ExecWorld, words: tuple[str, ...], code: int, said: str
) -> None:
    told = await world.cluster.cubectl("cp", *words)
    assert (told.code, said in told.err) == (code, True), told
