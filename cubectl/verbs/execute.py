"""`cubectl exec`: run a command in a container, here and now."""

from argparse import ArgumentParser, Namespace

from cubectl.connection.transport import Unreachable
from cubectl.objects.targets import PODS, pod_called
from cubectl.session import Misused, Session
from cubectl.verb import Verb
from cubernetes.client.wire.paths import path_of, target_of


def configure(parser: ArgumentParser) -> None:
    parser.usage = "cubectl exec [-i] [-t] [-c CONTAINER] POD -- COMMAND [WORD ...]"
    parser.add_argument("words", nargs="*", metavar="POD")
    parser.add_argument("-c", "--container", default="")
    parser.add_argument("-i", "--stdin", action="store_true", help="hand our stdin on")
    parser.add_argument("-t", "--tty", action="store_true", help="give the command a terminal")


def run(options: Namespace, session: Session) -> None:
    pod = _pod_in(options.words, session)
    if not options.command:
        raise Misused("the command stands behind --: cubectl exec POD -- COMMAND")
    # asyncio and aiohttp are slow to import, and nothing else here needs them.
    from cubectl.connection.remote import Console, HandshakeRefused, run_remotely

    console = Console.of_this_process(reads=options.stdin, is_terminal=options.tty)
    if options.tty and not console.is_terminal:
        session.tell("our stdin is no terminal: the command gets none either")
    flags = {"stdin": console.reads, "stdout": True, "stderr": not console.is_terminal}
    flags["tty"] = console.is_terminal
    fields = [("command", word) for word in options.command]
    fields += [("container", options.container)] if options.container else []
    fields += [(name, "true") for name, is_set in flags.items() if is_set]
    target = target_of(path_of(PODS, session.namespace, pod, "exec"), fields)
    place, timeout_s = session.transport.place, session.choice.timeout_s
    try:
        code = run_remotely(place, target, console, timeout_s)
    except HandshakeRefused as refused:
        # Why, only an answer that is no handshake can say.
        session.api.raw(target)
        raise Unreachable(str(refused)) from refused
    if code:
        session.tell(f"command terminated with exit code {code}")
    session.exit_code = code


def _pod_in(words: list[str], session: Session) -> str:
    if len(words) != 1:
        raise Misused("name one pod, and the command behind --: cubectl exec POD -- COMMAND")
    return pod_called(words[0], session.kinds, "commands run in pods")


VERB = Verb(configure, run, takes_command=True)
