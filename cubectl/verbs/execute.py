"""`cubectl exec`: run a command in a container, here and now."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cubectl.connection.transport import Unreachable
from cubectl.objects.podof import pod_of
from cubectl.objects.targets import PODS
from cubectl.session import Misused, Session
from cubectl.verb import Verb
from cubernetes.client.wire.paths import path_of, target_of

STDIN, STDOUT, NO_FILE = 0, 1, -1


def configure(parser: ArgumentParser) -> None:
    parser.usage = "cubectl exec [-i] [-t] [-c CONTAINER] POD|TYPE/NAME -- COMMAND [WORD ...]"
    parser.add_argument("words", nargs="*", metavar="POD|TYPE/NAME")
    parser.add_argument("-c", "--container", default="")
    parser.add_argument("-i", "--stdin", action="store_true", help="hand our stdin on")
    parser.add_argument("-t", "--tty", action="store_true", help="give the command a terminal")


class Files(NamedTuple):
    """Descriptors of this process that are a command's stdin, or NO_FILE, and its stdout.

    beside: done meanwhile, at the other end of the pipe `ours`; see connection.remote.Beside.
    told: makes what is shown of its stderr.
    """

    stdin: int = NO_FILE
    stdout: int = STDOUT
    ours: int = NO_FILE
    beside: Callable[[], None] | None = None
    told: Callable[[bytes], bytes] = bytes


class Container(NamedTuple):
    """Where a command runs; without a name in the only container of the pod."""

    namespace: str
    pod: str
    name: str = ""


def run(options: Namespace, session: Session) -> None:
    pod = _pod_in(options.words, session)
    if not options.command:
        raise Misused("the command stands behind --: cubectl exec POD -- COMMAND")
    is_terminal = options.tty and os.isatty(STDIN)
    if options.tty and not is_terminal:
        session.tell("our stdin is no terminal: the command gets none either")
    files = Files(STDIN if options.stdin else NO_FILE)
    there = Container(session.namespace, pod, options.container)
    code = run_in(session, there, options.command, files, is_terminal=is_terminal)
    if code:
        session.tell(f"command terminated with exit code {code}")
    session.exit_code = code


def run_in(
    session: Session,
    there: Container,
    command: Sequence[str],
    files: Files,
    *,
    is_terminal: bool = False,
) -> int:
    """Run a command in a container to its end, and return its exit code.

    Without a command it is attached to what runs there, until that ends.

    Raises: ApiError, Unreachable: what failed was not the command. OSError: nobody takes its
    output.
    """
    # asyncio and aiohttp are slow to import, and nothing else here needs them.
    from cubectl.connection.remote import Beside, Console, HandshakeRefused, run_remotely

    beside = Beside(files.ours, files.beside) if files.beside is not None else None
    console = Console(files.stdin, files.stdout, is_terminal, beside, files.told)
    flags = {"stdin": files.stdin != NO_FILE, "stdout": True, "stderr": not is_terminal}
    flags["tty"] = is_terminal
    fields = [("command", word) for word in command]
    fields += [("container", there.name)] if there.name else []
    fields += [(name, "true") for name, is_set in flags.items() if is_set]
    target = target_of(
        path_of(PODS, there.namespace, there.pod, "exec" if command else "attach"), fields
    )
    place, timeout_s = session.transport.place, session.choice.timeout_s
    try:
        return run_remotely(place, target, console, timeout_s)
    except HandshakeRefused as refused:
        # Why, only an answer that is no handshake can say.
        session.api.raw(target)
        raise Unreachable(str(refused)) from refused


def _pod_in(words: list[str], session: Session) -> str:
    if len(words) != 1:
        raise Misused("name one pod, and the command behind --: cubectl exec POD -- COMMAND")
    return pod_of(words[0], session).name if "/" in words[0] else words[0]


VERB = Verb(configure, run, takes_command=True)
