"""How a command ended, as Kubernetes tells it on the last message of exec and attach. Pure."""

import re

import msgspec

from cubernetes.api.bodies.envelopes import Cause, Status, StatusDetails
from cubernetes.api.coding import codec
from cubernetes.client.wire.channels import Channel, Misframed, message_of

NON_ZERO_EXIT, EXIT_CODE = "NonZeroExitCode", "ExitCode"
EXIT_CODE_MAX = 255
_CODE = re.compile(r"[0-9]{1,3}")


def ended(exit_code: int) -> Status:
    """Return how a command ended, as Kubernetes tells it."""
    if exit_code == 0:
        return Status(status="Success")
    said = f"command terminated with non-zero exit code: exit status {exit_code}"
    cause = Cause(reason=EXIT_CODE, message=str(exit_code))
    return Status(message=said, reason=NON_ZERO_EXIT, details=StatusDetails(causes=(cause,)))


def status_message(status: Status) -> bytes:
    return message_of(Channel.ERROR, codec.encode(status))


def status_in(content: bytes) -> Status:
    """Raises: Misframed."""
    try:
        return codec.decode(Status, content)
    except msgspec.DecodeError as error:
        raise Misframed("what came on channel 3 is no Status") from error


def exit_code_of(status: Status) -> int | None:
    """Return the exit code that a Status tells of; None where the command is not what failed."""
    if status.status == "Success":
        return 0
    causes = status.details.causes if status.details else ()
    codes = [one.message for one in causes if one.reason == EXIT_CODE]
    is_code = status.reason == NON_ZERO_EXIT and len(codes) == 1 and _CODE.fullmatch(codes[0])
    return int(codes[0]) if is_code and int(codes[0]) <= EXIT_CODE_MAX else None
