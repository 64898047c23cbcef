"""`cubectl debug`: look into a pod that runs or crashes, into a copy of it, or into a node.

As kubectl's, and shorter: `cubectl debug net POD` is a shell with tools in the pod's network,
`trace POD` shows what its program asks of the kernel, `profile POD` where its Python is.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import NamedTuple

from cubectl.api import STRATEGIC
from cubectl.objects.podof import pod_of
from cubectl.objects.targets import PODS, Target, target_in
from cubectl.session import Misused, Session
from cubectl.verb import Verb, pair_in
from cubectl.verbs.reaching.debugging import PROFILES, TOOLS, Wanted, copied, ephemeral_of, node_pod
from cubectl.verbs.reaching.firstrun import add_console, attach_when_running, code_at_the_end
from cubernetes.api.errors import NotFound
from cubernetes.api.notation.jsontext import Tree
from cubernetes.host.random import SystemRng

NAME_CHARS = 5


class Short(NamedTuple):
    """What a short form stands for; has_target: among the processes of the pod's program."""

    command: tuple[str, ...]
    profile: str
    has_target: bool


SHORT: Mapping[str, Short] = {
    "net": Short(("bash",), "netadmin", False),
    "trace": Short(("strace", "-f", "-tt", "-p", "1"), "general", True),
    "profile": Short(("py-spy", "top", "--pid", "1"), "general", True),
}


def configure(parser: ArgumentParser) -> None:
    parser.usage = (
        "cubectl debug [net|trace|profile] POD|TYPE/NAME|node/NAME --image=IMAGE "
        "[-- COMMAND ARG ...]"
    )
    parser.add_argument("words", nargs="+", metavar="POD|TYPE/NAME|node/NAME")
    parser.add_argument("--image", default="", help="what the container is made of")
    parser.add_argument("-c", "--container", default="", help="its name; else debugger-XXXXX")
    parser.add_argument("--target", default="", help="the container whose processes it sees")
    parser.add_argument("--profile", choices=PROFILES, default="", help="its rights")
    parser.add_argument("--env", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--image-pull-policy", default="",
                        choices=("", "Always", "IfNotPresent", "Never"))  # fmt: skip
    parser.add_argument("--arguments-only", action="store_true",
                        help="what stands behind -- are arguments, not the command")  # fmt: skip
    parser.add_argument("--copy-to", default="", metavar="NAME", help="make a copy of the pod")
    parser.add_argument("--set-image", action="append", default=[], metavar="CONTAINER=IMAGE",
                        help="other images of the copy; * is every container")  # fmt: skip
    parser.add_argument("--share-processes", default="true", nargs="?", const="true",
                        choices=("true", "false"), help="of a copy (default true)")  # fmt: skip
    parser.add_argument("--same-node", action="store_true", help="of a copy: where the pod is")
    parser.add_argument("--replace", action="store_true", help="of a copy: delete the pod first")
    parser.add_argument("--attach", action="store_true", help="show what it says, until it ends")
    parser.add_argument("--rm", action="store_true", help="take it away when we let go of it")
    parser.add_argument("--remove", default="", metavar="CONTAINER",
                        help="take an ephemeral container out of the pod")  # fmt: skip
    add_console(parser)


def run(options: Namespace, session: Session) -> None:
    word = _lengthened(options)
    if options.remove:
        pod = pod_of(word, session)
        session.api.remove_ephemeral(PODS, pod.name, session.namespace, options.remove)
        session.say(f'ephemeral container "{options.remove}" removed from pod "{pod.name}"')
        return
    _check(options)
    if (node := _node_in(word, session)) is not None:
        _into_node(options, session, node.name)
    elif options.copy_to:
        _into_copy(options, session, pod_of(word, session).pod)
    else:
        _into_pod(options, session, pod_of(word, session).pod)


def _lengthened(options: Namespace) -> str:
    """Fill in what a short form stands for; return the word that says what is looked into."""
    *before, word = options.words
    if not before:
        return str(word)
    if len(before) > 1 or before[0] not in SHORT:
        raise Misused(f"one pod or node, or one of {', '.join(SHORT)} before it")
    short = SHORT[before[0]]
    options.image = options.image or TOOLS
    options.command = options.command or list(short.command)
    options.profile = options.profile or short.profile
    options.needs_target = short.has_target
    options.stdin = options.tty = options.rm = True
    return str(word)


def _check(options: Namespace) -> None:
    """Raises: Misused."""
    is_attached = options.attach or options.stdin
    if options.tty and not options.stdin:
        raise Misused("-i/--stdin is required for containers with -t/--tty")
    if options.rm and not is_attached:
        raise Misused("--rm should only be used for attached containers: add -i or --attach")
    if not options.image and not (options.copy_to and (options.set_image or options.container)):
        raise Misused("--image is required: what the container is made of")
    for flag, is_given in (("--set-image", options.set_image), ("--same-node", options.same_node),
                           ("--replace", options.replace)):  # fmt: skip
        if is_given and not options.copy_to:
            raise Misused(f"{flag} is about a copy: add --copy-to=NAME")
    if options.target and options.copy_to:
        raise Misused("--target is for a container that is added: a copy shares its processes")


def _node_in(word: str, session: Session) -> Target | None:
    if "/" not in word:
        return None
    target = target_in(word, session.kinds)
    return target if (target.kind.group, target.kind.plural) == ("", "nodes") else None


def _wanted(options: Namespace, session: Session, name: str, *, target: str = "") -> Wanted:
    """Return the container that the options describe. Raises: Misused."""
    if not options.container and not name:
        name = f"debugger-{SystemRng().chars(NAME_CHARS)}"
        if not options.quiet:
            session.tell(f"Defaulting debug container name to {name}.")
    return Wanted(
        name=options.container or name,
        image=options.image,
        command=tuple(options.command or ()),
        is_arguments=options.arguments_only,
        env=tuple(pair_in(one, "--env") for one in options.env),
        pull_policy=options.image_pull_policy,
        profile=options.profile or "general",
        target=target,
        has_stdin=options.stdin,
        has_terminal=options.tty,
    )


def _into_pod(options: Namespace, session: Session, pod: Tree) -> None:
    target = options.target
    if not target and getattr(options, "needs_target", False):
        target = pod["spec"]["containers"][0]["name"]
    wanted, name = _wanted(options, session, "", target=target), pod["metadata"]["name"]
    change = {"spec": {"ephemeralContainers": [ephemeral_of(wanted)]}}
    session.api.patch(
        PODS, name, session.namespace, change, subresource="ephemeralcontainers", media=STRATEGIC
    )
    if not (options.attach or options.stdin):
        return
    try:
        attach_when_running(session, name, wanted.name, options, is_added=True)
    finally:
        if options.rm:
            _remove(session, name, wanted.name)


def _remove(session: Session, pod: str, container: str) -> None:
    try:
        session.api.remove_ephemeral(PODS, pod, session.namespace, container)
    except NotFound:
        return  # it went with its pod
    session.tell(f"ephemeral container {container} removed")


def _into_copy(options: Namespace, session: Session, pod: Tree) -> None:
    images = dict(pair_in(one, "--set-image") for one in options.set_image)
    # With other images alone, no container is added.
    name = "" if options.image else (options.container or pod["spec"]["containers"][0]["name"])
    wanted = _wanted(options, session, name)
    made = copied(pod, options.copy_to, wanted, images,
                  is_sharing=options.share_processes == "true",
                  is_same_node=options.same_node)  # fmt: skip
    if options.replace:
        session.api.delete(PODS, pod["metadata"]["name"], session.namespace, {})
    _made(options, session, made, wanted.name)


def _into_node(options: Namespace, session: Session, node: str) -> None:
    wanted = _wanted(options, session, "debugger")
    _made(options, session, node_pod(node, session.namespace, wanted), wanted.name)


def _made(options: Namespace, session: Session, pod: Tree, container: str) -> None:
    """Make a pod that is looked into, and be at its container where that is asked for."""
    made = session.api.create(PODS, pod, session.namespace, is_dry=False)
    name = made["metadata"]["name"]
    if node := made["spec"].get("nodeName"):
        session.tell(f"Creating debugging pod {name} with container {container} on node {node}.")
    if not (options.attach or options.stdin):
        return
    try:
        attach_when_running(session, name, container, options)
        if made["spec"].get("restartPolicy") == "Never" and options.rm:
            session.exit_code = code_at_the_end(session, name, container)
    finally:
        if options.rm:
            session.api.delete(PODS, name, session.namespace, {})
            session.tell(f'pod "{name}" deleted')


VERB = Verb(configure, run, takes_command=True)
