"""What a person gives `cubectl function`: files of code, parameters, bodies."""

from argparse import Namespace
from pathlib import Path

from cubectl.session import Failed, Misused

FOLDER_FILES_MAX = 100


def files_of(paths: list[Path]) -> dict[str, str]:
    """Return texts by the paths that the function sees. Raises: Failed, Misused."""
    found: dict[str, str] = {}
    for path in paths:
        try:
            if path.is_dir():
                inside = sorted(one for one in path.rglob("*") if one.is_file())
                texts = {
                    str(one.relative_to(path)): one.read_text()
                    for one in inside[: FOLDER_FILES_MAX + 1]
                    if "__pycache__" not in one.parts
                }
            else:
                texts = {path.name: path.read_text()}
        except (OSError, UnicodeDecodeError) as error:
            raise Failed(f"{path}: {error}") from error
        if twice := sorted(found.keys() & texts.keys()):
            raise Misused(f"two files would be {twice[0]}")
        found |= texts
    if not found:
        raise Misused("there are no files in it")
    return found


def first_module(files: dict[str, str]) -> str:
    """Return the module of the entry: `action` where there is one, else the first file."""
    modules = [name.removesuffix(".py") for name in files if name.endswith(".py")]
    plain = [name for name in modules if "/" not in name]
    if "action" in plain or not plain:
        return "action"
    return plain[0]


def pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Misused(f"{text!r}: write NAME=VALUE")
    return name, value


def body_of(options: Namespace) -> bytes:
    """Return the body that `--data` gives. Raises: Failed."""
    if not options.data.startswith("@"):
        return str(options.data).encode()
    try:
        return Path(options.data[1:]).read_bytes()
    except OSError as error:
        raise Failed(str(error)) from error
