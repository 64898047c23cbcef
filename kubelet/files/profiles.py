"""Seccomp profiles of the node: files in a folder of the kubelet's, out of which no path leads."""

import json
import os
import stat
from pathlib import Path

from kubelet.files.subpath import opened_beneath
from kubelet.objects.origins import CONFIG_ERROR
from kubelet.runtime.driver import RuntimeTrouble

PROFILE_BYTES_MAX = 1 << 20


def read_profile(folder: Path, path: str) -> str:
    """Return the JSON of a profile. It may block.

    Raises: RuntimeTrouble: it cannot be read, or is none.
    """
    try:
        content = _content(folder, path)
    except OSError as error:
        raise _trouble(path, error.strerror or str(error)) from error
    if len(content) > PROFILE_BYTES_MAX:
        raise _trouble(path, f"more than {PROFILE_BYTES_MAX} bytes")
    try:
        profile = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _trouble(path, "it is not JSON") from error
    if not isinstance(profile, dict) or not isinstance(profile.get("defaultAction"), str):
        raise _trouble(path, "it has no defaultAction")
    return json.dumps(profile, separators=(",", ":"))


def _content(folder: Path, path: str) -> bytes:
    opened = opened_beneath(folder, path, is_made=False)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise _trouble(path, "it is not a file")
        with open(f"/proc/self/fd/{opened}", "rb") as file:
            return file.read(PROFILE_BYTES_MAX + 1)
    finally:
        os.close(opened)


def _trouble(path: str, why: str) -> RuntimeTrouble:
    return RuntimeTrouble(CONFIG_ERROR, f"seccomp profile {path[:255]!r}: {why}")
