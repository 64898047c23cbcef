"""`cubectl proxy`: the API on a port of this machine, as whom the kubeconfig says, until Ctrl-C."""

import os
import re
import socket
import stat
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb

PORT = 8001
CALL_S = 5.0
HOSTS = r"^localhost$,^127\.0\.0\.1$,^\[::1\]$"
# What runs commands is not for a page in a browser.
PATHS_REFUSED = "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach"


def configure(parser: ArgumentParser) -> None:
    parser.usage = "cubectl proxy [-p PORT] [--address ADDRESS] [--api-prefix PATH]"
    parser.add_argument("-p", "--port", type=int, default=PORT, help="0 is any that is free")
    parser.add_argument("--address", default="127.0.0.1", help="where to listen")
    parser.add_argument("-u", "--unix-socket", default="", metavar="FILE", help="listen there")
    parser.add_argument("--api-prefix", default="/", metavar="PATH", help="before every path")
    for flag, default in (
        ("--accept-hosts", HOSTS),
        ("--accept-paths", "^.*"),
        ("--reject-paths", PATHS_REFUSED),
        ("--reject-methods", "^$"),
    ):
        told = "regular expressions, with commas between them"
        parser.add_argument(flag, default=default, metavar="FORMS", help=told)
    parser.add_argument("--disable-filter", action="store_true", help="hand on whatever is asked")


def run(options: Namespace, session: Session) -> None:
    if not 0 <= options.port <= 65535:
        raise Misused("--port: must be 0 to 65535")
    if options.unix_socket:
        make_room(options.unix_socket)
    # asyncio is slow to import, and few verbs need it.
    from cubectl.connection.filter import Filter
    from cubectl.connection.proxying import Plan, serve

    everything = (re.compile(""),)
    allowed = (
        Filter(everything, everything, (), (), has_any_path=True)
        if options.disable_filter
        else Filter(
            forms_in(options.accept_hosts, "--accept-hosts"),
            forms_in(options.accept_paths, "--accept-paths"),
            forms_in(options.reject_paths, "--reject-paths"),
            forms_in(options.reject_methods, "--reject-methods"),
        )
    )
    prefix = f"/{options.api_prefix.strip('/')}".rstrip("/")
    plan = Plan(options.address, options.port, options.unix_socket, prefix, allowed, session.say)
    try:
        serve(session.transport.place, plan)
    except KeyboardInterrupt:
        return  # this is how it is meant to end
    except OSError as error:
        raise Failed(f"unable to listen: {error.strerror or error}") from error


def make_room(file: str) -> None:
    """Remove the socket that a process left which had no time to. Raises: Failed: it is no such."""
    there = Failed(f"{file} is there already: remove it, or name another")
    try:
        if not stat.S_ISSOCK(os.lstat(file).st_mode):
            raise there
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(CALL_S)
            caller.connect(file)
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        os.unlink(file)  # nobody listens there
        return
    except OSError as error:
        raise Failed(f"{file}: {error.strerror or error}") from error
    raise there


def forms_in(text: str, flag: str) -> Sequence[re.Pattern[str]]:
    """Raises: Misused: one of them is no regular expression."""
    try:
        return [re.compile(word) for word in text.split(",") if word]
    except re.error as error:
        raise Misused(f"{flag}: {error}") from error


VERB = Verb(configure, run)
