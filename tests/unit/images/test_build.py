"""The images are plain tars that say truly what they hold, and always the same bytes."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.build import Entry, Image, archive_of, check_nginx, chosen, tar_of
from images.debian import CannotGet
from images.tools import files_of, program_in

NAMES = st.from_regex(r"[a-z]{1,12}", fullmatch=True)
ENTRIES = st.builds(Entry, NAMES, st.binary(max_size=64), st.sampled_from([0o644, 0o755]))


def unpacked(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        opened = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {name: file.read() for name, file in opened.items() if file is not None}


@given(entries=st.lists(ENTRIES, unique_by=lambda entry: entry.path))
def test_an_archive_names_its_layer_and_its_configuration_by_their_digests(
    entries: list[Entry],
) -> None:
    image = Image("x", (), lambda: entries, {"Cmd": ["x"]})

    files = unpacked(archive_of(image))
    (listed,) = json.loads(files["manifest.json"])
    config = files[listed["Config"]]

    assert listed["RepoTags"] == ["cubernetes/x:1"]
    assert listed["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
    layer = files["layer.tar"]
    assert json.loads(config)["rootfs"]["diff_ids"] == [
        f"sha256:{hashlib.sha256(layer).hexdigest()}"
    ]
    assert unpacked(layer) == {entry.path: entry.content for entry in entries}
    assert archive_of(image) == archive_of(image)


def test_links_folders_and_modes_survive() -> None:
    layer = tar_of(
        [
            Entry("tmp", mode=0o1777, is_folder=True),
            Entry("sh", link="busybox"),
            Entry("busybox", b"x"),
        ]
    )

    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        tmp, sh, busybox = tar.getmembers()

    assert (tmp.isdir(), tmp.mode) == (True, 0o1777)
    assert (sh.issym(), sh.linkname) == (True, "busybox")
    assert (busybox.isfile(), busybox.uid, busybox.mtime) == (True, 0, 0)


@pytest.mark.parametrize(
    ("said", "is_taken"),
    [
        ("nginx version: nginx/1.29.7", True),
        ("nginx version: nginx/1.30.0", True),
        ("nginx version: nginx/1.29.6", False),
        ("nginx version: nginx/1.28.2", False),
        ("no such file", False),
    ],
)
def test_an_nginx_without_what_the_configuration_says_is_no_gateway(
    said: str, *, is_taken: bool
) -> None:
    """`keepalive 0` is an error before 1.29.7, and so was every configuration."""
    argv = ("sh", "-c", 'echo "$0" >&2', said)
    if is_taken:
        check_nginx(argv)
        return
    with pytest.raises(CannotGet, match=r"nginx 1\.29\.7 or newer is needed"):
        check_nginx(argv)


def test_the_image_of_tools_is_built_by_its_name_alone() -> None:
    assert "tools" not in {image.name for image in chosen([])}
    assert [image.name for image in chosen(["tools"])] == ["tools"]
    with pytest.raises(SystemExit, match="'tool' is none of pause, "):
        chosen(["tool"])


def test_a_tool_that_is_not_the_expected_file_is_not_taken(tmp_path: Path) -> None:
    """A wheel that another index answers with is not what was looked at."""
    wheel = tmp_path / "py_spy-0.4.1-any.whl"
    wheel.write_bytes(b"other")
    with pytest.raises(CannotGet, match="is not the file that was expected"):
        program_in(wheel)


def test_of_the_packages_what_no_tool_needs_is_left_out(tmp_path: Path) -> None:
    for path in ("usr/bin/ip", "usr/share/doc/ip/README", "usr/share/terminfo/x/xterm"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    (tmp_path / "usr/bin/ip").chmod(0o755)
    (tmp_path / "usr/bin/ss").symlink_to("ip")
    kept = [(path, mode, link) for path, _, mode, link in files_of(tmp_path)]
    assert kept == [
        ("usr/bin/ip", 0o755, ""),
        ("usr/bin/ss", 0o777, "ip"),
        ("usr/share/terminfo/x/xterm", 0o644, ""),
    ]
