"""What is asked of `exec` and `attach`: the query of Kubernetes', read in one way by all.

The API server reads a client's query and writes it anew for the kubelet, which reads it again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from cubernetes.api.errors import BadRequest
from cubernetes.api.names import is_label
from cubernetes.client.wire.logquery import flag

FLAGS = ("stdin", "stdout", "stderr", "tty")


@dataclass(frozen=True, slots=True)
class ExecQuery:
    """A command, and which of its streams the client wants; without container, the only one.

    command: empty for the container's own, to which a client attaches.
    """

    command: tuple[str, ...]
    container: str = ""
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


def exec_query(parameters: Iterable[tuple[str, str]]) -> ExecQuery:
    """Read a query; parameters that are none of exec's are somebody else's.

    Raises: BadRequest: names the parameter and the accepted form.
    """
    pairs = tuple(parameters)
    asked = _asked(pairs)
    command = tuple(value for name, value in pairs if name == "command")
    if not command or not command[0]:
        raise BadRequest("command: is required, once for each of its words")
    if any("\0" in word for word in command):
        raise BadRequest("command: its words cannot hold NUL")
    return replace(_with_streams(asked), command=command)


def attach_query(parameters: Iterable[tuple[str, str]]) -> ExecQuery:
    """Read a query that names no command.

    Raises: BadRequest: names the parameter and the accepted form.
    """
    return _with_streams(_asked(tuple(parameters)))


def _asked(pairs: tuple[tuple[str, str], ...]) -> ExecQuery:
    given = dict(reversed(pairs))  # of two that are the same, the first counts
    container = given.get("container", "")
    stdin, stdout, stderr, tty = (flag(name, given.get(name, "false")) for name in FLAGS)
    if container and not is_label(container):
        raise BadRequest("container: must be the name of a container")
    return ExecQuery((), container, stdin, stdout, stderr, tty)


def _with_streams(asked: ExecQuery) -> ExecQuery:
    if not (asked.stdin or asked.stdout or asked.stderr):
        raise BadRequest("stdin, stdout, stderr: at least one of them must be true")
    return asked


def exec_query_text(asked: ExecQuery) -> str:
    """Return the query that says so; its container is in a kubelet's path."""
    flags = [(name, "true") for name in FLAGS if getattr(asked, name)]
    return urlencode([*(("command", word) for word in asked.command), *flags])
