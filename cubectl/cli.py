"""From words to a verb, and from what goes wrong to one line and an exit code.

0: done. 1: refused, or no answer. 2: the command line is wrong. 130: interrupted. `exec` ends with
the code of its command.
"""

import os
import sys
from argparse import (
    REMAINDER,
    SUPPRESS,
    ArgumentParser,
    HelpFormatter,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Sequence
from typing import NoReturn

from cubectl.connection.kubeconfig import KubeconfigWrong
from cubectl.connection.transport import Unreachable
from cubectl.output.printers import safe
from cubectl.registry import VERBS, Entry
from cubectl.session import Choice, Failed, Misused, Rejected, Session
from cubectl.verb import Verb, add_common, span_s
from cubernetes.api.errors import ApiError
from cubernetes.client.wire.catalog import Malformed

HELP_WIDTH = 78
DONE, REFUSED, MISUSED, INTERRUPTED = 0, 1, 2, 130


def _formatter(prog: str) -> HelpFormatter:
    """Return what writes help, told how wide: to find that out it would load an archiver."""
    return HelpFormatter(prog, width=_width())


def _raw_formatter(prog: str) -> HelpFormatter:
    return RawDescriptionHelpFormatter(prog, width=_width())


def _width() -> int:
    told = os.environ.get("COLUMNS", "")
    try:
        return int(told) if told.isdecimal() else os.get_terminal_size().columns - 2
    except OSError:
        return HELP_WIDTH


class OneLineParser(ArgumentParser):
    """Says what is wrong in one line, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        raise Misused(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None, session: Session | None = None) -> int:
    """Run a command line; return the exit code."""
    session = session or Session()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        _become_plugin(words, session)
        verb, options = _parsed(words)
        if verb is None:
            session.out.flush()
            return DONE
        session.choice = _choice(options)
        return _run(verb, options, session)
    except Misused as error:
        session.tell(str(error))
        return MISUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has closed it.
        _write_no_more()
        return DONE
    except OSError as error:
        # Files and connections have errors of their own: this is the answer that cannot be written.
        _write_no_more()
        session.tell(f"the answer cannot be written: {error.strerror or error}")
        return REFUSED


def _become_plugin(words: Sequence[str], session: Session) -> None:
    """Where the first word is no verb of ours but a program's, be that program from here on.

    Raises: OSError: it cannot be started.
    """
    if not words or words[0].startswith("-") or any(words[0] == verb.name for verb in VERBS):
        return
    from cubectl.completion.plugins import plugin_for

    plugin = plugin_for(words, session.environment.get("PATH", ""))
    if plugin is None:
        return
    try:
        # What runs is what the person has named, and has put on PATH.
        os.execve(plugin.path, (plugin.path, *plugin.words), dict(session.environment))  # noqa: S606
    except OSError as error:
        raise Misused(f"{plugin.path} cannot be started: {error.strerror}") from error


def _write_no_more() -> None:
    """Let nothing be written at exit any more, where Python would fail at it again."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(verb: Verb, options: Namespace, session: Session) -> int:
    try:
        verb.run(options, session)
        session.out.flush()
    except Rejected as error:
        for sentence in error.sentences:
            session.fail(safe(sentence))
    except ApiError as error:
        session.fail(safe(error.message))
    except (Failed, KubeconfigWrong, Unreachable) as error:
        session.fail(safe(str(error)))
    except Malformed as error:
        session.fail(safe(f"the server tells no kinds that can be read: {error}"))
    return REFUSED if session.failure_count else session.exit_code


def _parsed(argv: Sequence[str]) -> tuple[Verb | None, Namespace]:
    """Return the verb and its options; None where help was printed instead.

    Options and names may be mixed in any order behind the verb.
    """
    parser = OneLineParser(
        prog="cubectl",
        usage="cubectl [-n NAMESPACE] VERB ...",
        description="Look at a Cubernetes cluster, and change it.",
        epilog=_verbs_told(),
        formatter_class=_raw_formatter,
        allow_abbrev=False,
    )
    add_common(parser, is_main=True)
    parser.add_argument("verb", nargs="?", help=SUPPRESS)
    parser.add_argument("rest", nargs=REMAINDER, help=SUPPRESS)
    try:
        options = parser.parse_args(argv)
        if options.verb is None:
            parser.print_help()
            return None, options
        return _parsed_for(_verb_called(options.verb), options)
    except SystemExit:
        return None, Namespace()


def _parsed_for(entry: Entry, options: Namespace) -> tuple[Verb, Namespace]:
    verb = entry.loaded()
    parser = OneLineParser(
        prog=f"cubectl {entry.name}",
        description=entry.summary,
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    verb.configure(parser)
    add_common(parser, is_main=False)
    words = options.rest
    if verb.takes_command:
        end = words.index("--") if "--" in words else len(words)
        words, options.command = words[:end], words[end + 1 :]
    return verb, parser.parse_intermixed_args(words, options)


def _verb_called(word: str) -> Entry:
    for verb in VERBS:
        if verb.name == word:
            return verb
    offered = ", ".join(verb.name for verb in VERBS if verb.is_shown)
    raise Misused(f"there is no verb {safe(word[:40])!r}: {offered}")


def _verbs_told() -> str:
    lines = [f"  {verb.name:14} {verb.summary}" for verb in VERBS if verb.is_shown]
    return "verbs (each has its own --help):\n" + "\n".join(lines)


def _choice(options: Namespace) -> Choice:
    return Choice(
        kubeconfig=options.kubeconfig,
        context=options.context,
        server=options.server,
        namespace=options.namespace,
        timeout_s=span_s(options.request_timeout),
    )
