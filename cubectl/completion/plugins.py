"""Programs on PATH that are verbs of cubectl: `cubectl-x` is `cubectl x`, as kubectl's plugins."""

import os
from collections.abc import Sequence
from typing import NamedTuple

PREFIX = "cubectl-"


class Plugin(NamedTuple):
    """A program, and the words that are its own."""

    path: str
    words: tuple[str, ...]


def plugin_for(words: Sequence[str], search: str) -> Plugin | None:
    """Return the program that a command line means, of the most words that one is called by.

    search: the folders of PATH. A dash within a word is an underscore in the program's name.
    """
    named: list[str] = []
    for word in words:
        if word.startswith("-"):
            break
        named.append(word)
    for count in range(len(named), 0, -1):
        if any("/" in word for word in named[:count]):
            continue
        path = _found(PREFIX + "-".join(word.replace("-", "_") for word in named[:count]), search)
        if path:
            return Plugin(path, tuple(words[count:]))
    return None


def plugins_in(search: str) -> list[str]:
    """Return the paths of all programs that are verbs, of each name the first that is found."""
    found: dict[str, str] = {}
    for folder in _folders(search):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue  # a folder of PATH may be absent
        for name in names:
            path = f"{folder}/{name}"
            if name.startswith(PREFIX) and name not in found and _is_program(path):
                found[name] = path
    return list(found.values())


def _found(name: str, search: str) -> str:
    paths = (f"{folder}/{name}" for folder in _folders(search))
    return next((path for path in paths if _is_program(path)), "")


def _folders(search: str) -> list[str]:
    # Of an empty part a shell makes the folder that it is in, which may be anybody's.
    return [part for part in search.split(os.pathsep) if part]


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)
