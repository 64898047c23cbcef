"""`python -m serverless.runtime.local`: one call of a function's files here, without an instance.

Reads the code and the call as JSON, and writes the answer as JSON; what the code prints goes to
stderr. The code is loaded and called by what an instance loads and calls it by.
"""

import base64
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serverless.runtime import wire, worker, zygote
from serverless.runtime.story import story_of


def answer_to(told: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], bytes]:
    """Return the head and body of the answer to a call."""
    try:
        action = zygote.load(told["code"], folder)
    except BaseException as error:  # noqa: BLE001  whatever the code raises is its answer
        return {"outcome": "unloadable", "error": story_of(error)}, b""
    return wire.unpacked(worker.answered(action, told["call"], base64.b64decode(told["body"])))


def main() -> None:
    told = json.load(sys.stdin)
    answers = os.dup(1)
    os.dup2(2, 1)
    worker.print_at_once()
    folder = tempfile.mkdtemp(prefix="function-")
    try:
        head, body = answer_to(told, Path(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.flush()
    with open(answers, "w") as out:
        json.dump({"head": head, "body": base64.b64encode(body).decode()}, out)


if __name__ == "__main__":
    main()
