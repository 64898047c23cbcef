"""`cubectl autoscale`: let the replicas of a workload follow what its pods use.

`autoscale history` and `autoscale replay` tell what was decided, and what else would have been.
"""

from argparse import ArgumentParser, Namespace

from cubectl.objects.targets import targets_in
from cubectl.output.printers import name_of
from cubectl.session import Misused, Session
from cubectl.verb import Verb
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource

AUTOSCALERS = Resource(
    "autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"
)  # fmt: skip


def configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="KIND NAME | KIND/NAME | history HPA | replay HPA"
    )
    parser.add_argument("--max", type=int, default=0, metavar="COUNT", help="never more replicas")
    parser.add_argument("--min", type=int, default=0, metavar="COUNT", help="never fewer; else 1")
    parser.add_argument("--cpu-percent", type=int, default=0, metavar="PERCENT",
                        help="of what the pods request, on average; else 80")  # fmt: skip
    parser.add_argument("--name", default="", help="of the autoscaler; else as what is scaled")
    parser.add_argument(
        "--since", default="1h", metavar="SPAN", help="history, replay: how far back"
    )
    parser.add_argument("--policy", default="", metavar="FILE",
                        help="replay: the autoscaler to try on what is on record")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="ask the server, change nothing")


def run(options: Namespace, session: Session) -> None:
    if options.words[:1] in (["history"], ["replay"]):
        from cubectl.verbs.scaling import history

        tell = history.tell if options.words[0] == "history" else history.replay
        tell(options, session)
        return
    targets = targets_in(options.words, session.kinds)
    if len(targets) != 1 or not targets[0].name:
        raise Misused("name one workload: cubectl autoscale deployment web --max=5")
    kind, name = targets[0]
    if "scale" not in kind.subresources:
        raise Misused(f"{kind.plural} have no replicas")
    if options.max < 1:
        raise Misused("--max=MAXPODS is required and must be at least 1")
    if options.max < options.min:
        raise Misused("--max=MAXPODS must be larger or equal to --min=MINPODS")
    session.api.get(kind, name, session.namespace)
    wanted = autoscaler_for(kind, name, options, session.namespace)
    made = session.api.create(AUTOSCALERS, wanted, session.namespace, is_dry=options.dry_run)
    told = " (dry run)" if options.dry_run else ""
    session.say(f"{name_of(AUTOSCALERS, made['metadata']['name'])} autoscaled{told}")


def autoscaler_for(kind: Resource, name: str, options: Namespace, namespace: str) -> Tree:
    """Return an autoscaler by the options; what they leave out the server fills in."""
    spec: Tree = {
        "scaleTargetRef": {"apiVersion": kind.api_version, "kind": kind.kind, "name": name},
        "maxReplicas": options.max,
    }
    if options.min > 0:
        spec["minReplicas"] = options.min
    if options.cpu_percent > 0:
        target = {"type": "Utilization", "averageUtilization": options.cpu_percent}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    metadata = {"name": options.name or name, "namespace": namespace}
    return {
        "apiVersion": AUTOSCALERS.api_version,
        "kind": AUTOSCALERS.kind,
        "metadata": metadata,
        "spec": spec,
    }


VERB = Verb(configure, run)
