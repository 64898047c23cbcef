"""Keys and contents from a command line: `--from-literal`, `--from-file`, `--from-env-file`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from cubectl.session import Misused

CONTENT_BYTES_MAX = 1024 * 1024


FLAGS = (
    ("--from-literal", "KEY=TEXT", "of a configmap or secret: a key and its text"),
    ("--from-file", "[KEY=]PATH", "of a configmap or secret: a file, or a folder of them"),
    ("--from-env-file", "PATH", "of a configmap or secret: lines of KEY=TEXT"),
)


def add_keyed(parser: ArgumentParser) -> None:
    for flag, form, told in FLAGS:
        parser.add_argument(flag, action="append", default=[], metavar=form, help=told)


def keyed_by(options: Namespace) -> dict[str, bytes]:
    """Return what the options name. Raises: Misused: also where a key is named twice."""
    data: dict[str, bytes] = {}
    for key, content in _pairs_in(options):
        if not key or "/" in key:
            raise Misused(f"{key[:80]!r} is no key")
        if key in data:
            raise Misused(f"the key {key[:80]!r} is named twice")
        data[key] = content
    return data


def _pairs_in(options: Namespace) -> Iterator[tuple[str, bytes]]:
    for word in options.from_literal:
        key, sign, text = word.partition("=")
        if not sign:
            raise Misused(f"--from-literal: {word[:80]!r}: write KEY=TEXT")
        yield key, text.encode()
    for word in options.from_file:
        key, sign, path = word.rpartition("=")
        for file in _files(Path(path), is_named=bool(sign)):
            yield (key if sign else file.name), read_file(file)
    for word in options.from_env_file:
        for line in read_file(Path(word)).decode(errors="replace").splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                key, _, text = line.strip().partition("=")
                yield key, text.encode()


def _files(path: Path, *, is_named: bool) -> list[Path]:
    if not path.is_dir():
        return [path]
    if is_named:
        raise Misused(f"--from-file: {path} is a folder: its files have keys of their own")
    return sorted(one for one in path.iterdir() if one.is_file())


def read_file(path: Path) -> bytes:
    """Raises: Misused."""
    try:
        with path.open("rb") as file:
            content = file.read(CONTENT_BYTES_MAX + 1)
    except OSError as error:
        raise Misused(f"{path}: {error.strerror}") from error
    if len(content) > CONTENT_BYTES_MAX:
        raise Misused(f"{path} has over {CONTENT_BYTES_MAX} bytes, the most that an object holds")
    return content
