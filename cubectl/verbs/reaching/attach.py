"""`cubectl attach`: our console at the program of a container, which runs already."""

import os
from argparse import ArgumentParser, Namespace

from cubectl.objects.podof import pod_of
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubectl.verbs.execute import NO_FILE, STDIN, Container, Files, run_in
from cubernetes.api.notation.jsontext import Tree

PARTS = ("containers", "initContainers", "ephemeralContainers")
HINT = "If you don't see a command prompt, try pressing enter."


def configure(parser: ArgumentParser) -> None:
    parser.usage = "cubectl attach [-i] [-t] [-c CONTAINER] POD|TYPE/NAME"
    parser.add_argument("word", metavar="POD|TYPE/NAME")
    parser.add_argument("-c", "--container", default="")
    parser.add_argument("-i", "--stdin", action="store_true", help="hand our stdin on")
    parser.add_argument("-t", "--tty", action="store_true", help="our terminal is the container's")
    parser.add_argument("-q", "--quiet", action="store_true", help="tell only what it says")


def run(options: Namespace, session: Session) -> None:
    pod = pod_of(options.word, session).pod
    container = container_of(pod, options.container)
    attach_to(session, pod, container, options)
    if options.stdin and options.tty and not options.quiet:
        name = pod["metadata"]["name"]
        again = f"cubectl attach {name} -c {container['name']} -i -t"
        session.tell(f"session ended, resume using {again!r} when the pod is running")


def attach_to(session: Session, pod: Tree, container: Tree, options: Namespace) -> None:
    """Attach, and return when the program has ended. Raises: Failed, Misused."""
    if options.stdin and not container.get("stdin"):
        raise Failed(f"container {container['name']!r} was made without an input (stdin: true)")
    is_terminal = options.tty and bool(container.get("tty")) and os.isatty(STDIN)
    if options.tty and not container.get("tty"):
        session.tell(f"unable to use a TTY - container {container['name']} did not allocate one")
    if is_terminal and options.stdin and not options.quiet:
        session.tell(HINT)
    place = Container(session.namespace, pod["metadata"]["name"], container["name"])
    files = Files(STDIN if options.stdin else NO_FILE)
    session.exit_code = run_in(session, place, (), files, is_terminal=is_terminal)


def container_of(pod: Tree, name: str) -> Tree:
    """Return a container of a pod: the one of that name, or the first. Raises: Misused."""
    spec = pod["spec"]
    every: list[Tree] = [one for field in PARTS for one in spec.get(field) or []]
    if not name:
        return every[0]
    for one in every:
        if one["name"] == name:
            return one
    raise Misused(f"container {name!r} is none of {', '.join(one['name'] for one in every)}")


VERB = Verb(configure, run)
