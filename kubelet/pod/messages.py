"""The last messages of containers: read once they have ended, from their files or their logs."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.spec import every_program
from cubernetes.host.log import Log
from kubelet.pod.decisions.specs import wanted_named
from kubelet.pod.volumes import Message, Volumes, VolumeTrouble
from kubelet.runtime.driver import Container, LogOptions, RuntimeDriver, RuntimeTrouble, State

log = Log(__name__)

# The limits of Kubernetes: of one message, of all of a pod's, and of what is taken from a log.
MESSAGE_BYTES_MAX = 4096
POD_BYTES_MAX = 12 * 1024
LOG_BYTES_MAX = 2048
LOG_LINES_MAX = 80


async def read_messages(
    pod: Pod,
    found: Sequence[Container],
    known: Mapping[str, str],
    volumes: Volumes,
    runtime: RuntimeDriver,
) -> Mapping[str, str]:
    """Return the message of each container that has ended, by its id; each is read once."""
    messages: dict[str, str] = {}
    bytes_max = min(MESSAGE_BYTES_MAX, POD_BYTES_MAX // len(every_program(pod.spec)))
    for one in found:
        wanted = wanted_named(pod, one.name)
        if one.state is not State.EXITED or wanted is None:
            continue
        if one.id in known:
            messages[one.id] = known[one.id]
        else:
            messages[one.id] = await _read(one, wanted, bytes_max, volumes, runtime)
    return messages


async def _read(
    one: Container, wanted: Wanted, bytes_max: int, volumes: Volumes, runtime: RuntimeDriver
) -> str:
    try:
        text = await volumes.message_text(Message(one.pod_uid, one.name, one.attempt), bytes_max)
    except VolumeTrouble as error:
        path = wanted.termination_message_path
        return f"Error on reading termination log {path}: {error}"
    falls_back = wanted.termination_message_policy == "FallbackToLogsOnError"
    if text or not one.exit_code or not falls_back:
        return text
    return await _end_of_log(runtime, one, min(bytes_max, LOG_BYTES_MAX))


async def _end_of_log(runtime: RuntimeDriver, one: Container, bytes_max: int) -> str:
    end = b""
    try:
        async with aclosing(runtime.logs(one.id, LogOptions(tail_count=LOG_LINES_MAX))) as pieces:
            async for piece in pieces:
                end = (end + piece)[-bytes_max:]
    except RuntimeTrouble as error:
        log.debug("log not read", container=one.id, why=error)
    return end.decode(errors="replace")
