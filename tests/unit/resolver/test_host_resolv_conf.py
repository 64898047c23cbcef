"""A machine's own resolv.conf: whose file it is decides whether we write into it."""

import os
from pathlib import Path

from resolver.hostfile import ask_first, ask_no_more

OURS = "169.254.20.10"
TEXT = b"# caf\xe9\nnameserver 192.0.2.53\n"


def test_a_file_names_us_first_and_is_as_it_was_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_bytes(TEXT)
    path.chmod(0o664)
    assert ask_first(path, OURS)
    lines = path.read_bytes().splitlines()
    assert lines[1:] == [b"nameserver 169.254.20.10", *TEXT.splitlines()]
    assert path.stat().st_mode & 0o777 == 0o664
    taken = path.stat()
    assert ask_first(path, OURS)
    assert path.stat() == taken, "what is right already is not written again"
    ask_no_more(path)
    assert path.read_bytes() == TEXT


def test_a_link_is_another_programs_and_left_alone(tmp_path: Path) -> None:
    stub = tmp_path / "stub-resolv.conf"
    stub.write_bytes(TEXT)
    path = tmp_path / "resolv.conf"
    path.symlink_to(stub)
    assert not ask_first(path, OURS)
    ask_no_more(path)
    assert path.is_symlink()
    assert stub.read_bytes() == TEXT


def test_a_file_that_is_not_there_or_too_large_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    assert not ask_first(path, OURS)
    ask_no_more(path)
    assert os.listdir(tmp_path) == []
    path.write_bytes(b"#" * (1 << 17))
    assert not ask_first(path, OURS)
    assert path.stat().st_size == 1 << 17
