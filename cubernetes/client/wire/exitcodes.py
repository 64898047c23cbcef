"""The exit code in the last message of exec and attach, read without a model. Pure.

A command line imports it: the models of a Status take longer to import than most commands run.
"""

import json
import re
from typing import Any

NON_ZERO_EXIT, EXIT_CODE = "NonZeroExitCode", "ExitCode"
EXIT_CODE_MAX = 255
_CODE = re.compile(r"[0-9]{1,3}")


def exit_code_in(content: bytes) -> int | None:
    """Return the exit code that a Status tells of; None where the command is not what failed."""
    try:
        status = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(status, dict):
        return None
    if status.get("status") == "Success":
        return 0
    codes = _codes_in(status.get("details"))
    is_code = status.get("reason") == NON_ZERO_EXIT and len(codes) == 1
    code = codes[0] if is_code else None
    if not isinstance(code, str) or _CODE.fullmatch(code) is None:
        return None
    return int(code) if int(code) <= EXIT_CODE_MAX else None


def _codes_in(details: Any) -> list[Any]:
    causes = details.get("causes") if isinstance(details, dict) else None
    found = [one for one in causes if isinstance(one, dict)] if isinstance(causes, list) else []
    return [one.get("message") for one in found if one.get("reason") == EXIT_CODE]
