"""How a command ended, as Kubernetes tells it on the last message of exec and attach. Pure."""

import msgspec

from cubernetes.api.bodies.envelopes import Cause, Status, StatusDetails
from cubernetes.api.coding import codec
from cubernetes.client.wire.channels import Channel, Misframed, message_of
from cubernetes.client.wire.exitcodes import EXIT_CODE, NON_ZERO_EXIT


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
