"""`cubectl run`: a pod of one container; with -i, -t or --attach our console is at it."""

from argparse import ArgumentParser, Namespace

from cubectl.objects.targets import PODS
from cubectl.output.printers import name_of
from cubectl.session import Misused, Session
from cubectl.verb import Verb, pair_in
from cubectl.verbs.reaching.firstrun import add_console, attach_when_running, code_at_the_end
from cubernetes.api.notation.jsontext import Tree


def configure(parser: ArgumentParser) -> None:
    parser.usage = "cubectl run NAME --image=IMAGE [-- ARG ... | --command -- COMMAND ...]"
    parser.add_argument("name")
    parser.add_argument("--image", required=True, help="what the container is made of")
    parser.add_argument("--env", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--port", type=int, default=0, help="that the container listens at")
    parser.add_argument("-l", "--labels", default="", help="such as app=web; else run=NAME")
    parser.add_argument("--restart", choices=("Always", "OnFailure", "Never"), default="Always")
    parser.add_argument("--command", dest="is_command", action="store_true",
                        help="what stands behind -- is the command, not its arguments")  # fmt: skip
    parser.add_argument("--attach", action="store_true", help="show what it says, until it ends")
    parser.add_argument("--rm", action="store_true", help="delete the pod when we let go of it")
    parser.add_argument("--leave-stdin-open", action="store_true",
                        help="its input does not end with ours")  # fmt: skip
    add_console(parser)
    parser.add_argument("--dry-run", action="store_true", help="ask the server, change nothing")


def run(options: Namespace, session: Session) -> None:
    is_attached = options.attach or options.stdin
    check_console(options, is_attached=is_attached)
    pod = pod_for(options, session.namespace)
    made = session.api.create(PODS, pod, session.namespace, is_dry=options.dry_run)
    if is_attached:
        _attached(options, session, made)
        return
    told = " (dry run)" if options.dry_run else ""
    session.say(f"{name_of(PODS, made['metadata']['name'])} created{told}")


def check_console(options: Namespace, *, is_attached: bool) -> None:
    """Raises: Misused."""
    if options.tty and not options.stdin:
        raise Misused("-i/--stdin is required for containers with -t/--tty")
    if options.rm and not is_attached:
        raise Misused("--rm should only be used for attached containers: add -i or --attach")
    if options.dry_run and is_attached:
        raise Misused("--dry-run makes no container to attach to: leave out -i and --attach")


def _attached(options: Namespace, session: Session, pod: Tree) -> None:
    name, uid = pod["metadata"]["name"], pod["metadata"].get("uid", "")
    try:
        attach_when_running(session, name, options.name, options)
        if options.restart != "Always" and not options.leave_stdin_open:
            session.exit_code = code_at_the_end(session, name, options.name)
    finally:
        if options.rm:
            session.api.delete(PODS, name, session.namespace, {"preconditions": {"uid": uid}})
            if not options.quiet:
                session.say(f'pod "{name}" deleted')


def pod_for(options: Namespace, namespace: str) -> Tree:
    """Return the pod that the options describe. Raises: Misused."""
    container: Tree = {"name": options.name, "image": options.image}
    if options.stdin:
        container |= {"stdin": True, "stdinOnce": not options.leave_stdin_open}
    if options.tty:
        container["tty"] = True
    if options.env:
        pairs = [pair_in(word, "--env") for word in options.env]
        container["env"] = [{"name": key, "value": text} for key, text in pairs]
    if options.port:
        container["ports"] = [{"containerPort": options.port}]
    if options.command:
        container["command" if options.is_command else "args"] = list(options.command)
    labels = dict(pair_in(word, "--labels") for word in options.labels.split(",") if word)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": options.name,
            "namespace": namespace,
            "labels": labels or {"run": options.name},
        },
        "spec": {"containers": [container], "restartPolicy": options.restart},
    }


VERB = Verb(configure, run, takes_command=True)
