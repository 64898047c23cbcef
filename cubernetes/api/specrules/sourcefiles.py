"""Files that stand in an object's spec, text by path: which paths, how many, and how much."""

import re
from collections.abc import Iterator, Mapping

from cubernetes.api.errors import Problem

FILES_MAX = 100
FILES_BYTES_MAX = 512 * 1024
FILE_PATH_CHARS_MAX = 200
_FILE_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*\Z")
FILE_PATH_RULE = (
    f"must be a relative path of at most {FILE_PATH_CHARS_MAX} letters, digits, '_', '.' and '-', "
    "each part beginning with a letter, a digit or '_'"
)


def is_file_path(path: str) -> bool:
    """Return whether a path leads to a file below the folder that it is relative to."""
    is_short = len(path) <= FILE_PATH_CHARS_MAX
    return is_short and ".." not in path and _FILE_PATH.match(path) is not None


def file_problems(files: Mapping[str, str], field: str) -> Iterator[Problem]:
    """Yield what is wrong with the files at a field."""
    if len(files) > FILES_MAX:
        yield Problem(field, f"too many: {len(files)}, at most {FILES_MAX}")
    for path in files:
        if not is_file_path(path):
            yield Problem(f"{field}[{path[:80]}]", FILE_PATH_RULE)
    size_bytes = sum(len(text.encode()) for text in files.values())
    if size_bytes > FILES_BYTES_MAX:
        yield Problem(field, f"too large: {size_bytes} bytes, at most {FILES_BYTES_MAX}")
