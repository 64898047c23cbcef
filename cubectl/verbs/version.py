"""`cubectl version`: ours, and the server's."""

from argparse import ArgumentParser, Namespace

from cubectl.output.printers import safe
from cubectl.session import Session
from cubectl.verb import Verb


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("--client", action="store_true", help="do not ask the server")


def run(options: Namespace, session: Session) -> None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        ours = version("cubernetes")
    except PackageNotFoundError:
        ours = "from a source tree"
    session.say(f"Client: {ours}")
    if not options.client:
        told = session.api.raw("/version")
        session.say(f"Server: {safe(str(told.get('gitVersion', told)))}")


VERB = Verb(configure, run)
