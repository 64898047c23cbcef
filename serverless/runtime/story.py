"""What an error of a function's code is told as: its traceback without the lines of the runner."""

import importlib
import traceback
from pathlib import Path

CHARS_MAX = 4096
HIDDEN = (str(Path(__file__).parent), str(Path(importlib.__file__).parent), "<frozen importlib")


def story_of(error: BaseException) -> str:
    """Return the end of a traceback, at most CHARS_MAX of it."""
    frames = [
        one for one in traceback.extract_tb(error.__traceback__) if not _is_hidden(one.filename)
    ]
    lines = traceback.format_exception_only(error)
    if frames:
        lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames), *lines]
    return "".join(lines)[-CHARS_MAX:]


def _is_hidden(file: str) -> bool:
    return file.startswith(HIDDEN)
