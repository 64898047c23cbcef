"""`cubectl expose`: a service for the pods of something that has pods."""

from argparse import ArgumentParser, Namespace
from typing import Any

from cubectl.objects.targets import PODS, targets_in
from cubectl.output.printers import name_of
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource

SERVICES = Resource("", "v1", "Service", "services")
TYPES = ("ClusterIP", "NodePort", "LoadBalancer")


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="KIND NAME | KIND/NAME")
    parser.add_argument("--name", default="", help="of the service; else as what is exposed")
    parser.add_argument("--port", type=int, default=0, help="else those of the containers")
    parser.add_argument("--target-port", default="", help="a number or a name, else as --port")
    parser.add_argument("--protocol", default="", help="TCP or UDP; else as the container's")
    parser.add_argument("--type", choices=TYPES, default="ClusterIP")
    parser.add_argument("-l", "--selector", default="", metavar="LABELS", help="such as app=web")
    parser.add_argument("--dry-run", action="store_true", help="ask the server, change nothing")


def run(options: Namespace, session: Session) -> None:
    targets = targets_in(options.words, session.kinds)
    if len(targets) != 1 or not targets[0].name:
        raise Misused("name one object to expose: cubectl expose deployment web --port=80")
    kind, name = targets[0]
    tree = session.api.get(kind, name, session.namespace)
    is_pod = (kind.group, kind.plural) == ("", PODS.plural)
    selector = _labels(options.selector) or selector_of(tree, is_pod=is_pod)
    if not selector:
        raise Failed(
            f"{name_of(kind, name)}: couldn't find a selector via --selector flag or in it"
        )
    ports = ports_of(tree, options, is_pod=is_pod)
    if not ports:
        raise Failed(f"{name_of(kind, name)}: couldn't find port via --port flag or introspection")
    service: Tree = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": options.name or name,
            "namespace": session.namespace,
            "labels": tree["metadata"].get("labels") or {},
        },
        "spec": {"selector": selector, "ports": ports, "type": options.type},
    }
    made = session.api.create(SERVICES, service, session.namespace, is_dry=options.dry_run)
    told = " (dry run)" if options.dry_run else ""
    session.say(f"{name_of(SERVICES, made['metadata']['name'])} exposed{told}")


def _labels(text: str) -> dict[str, str]:
    """Raises: Misused."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(key and sign for key, sign, _ in pairs):
        raise Misused("--selector: must be labels such as app=web,tier=front")
    return {key: value.removeprefix("=") for key, _, value in pairs}


def selector_of(tree: Tree, *, is_pod: bool) -> dict[str, Any]:
    """Return the labels by which the pods of an object are found; empty where there are none."""
    if is_pod:
        return dict(tree["metadata"].get("labels") or {})
    selector = (tree.get("spec") or {}).get("selector") or {}
    labels = selector.get("matchLabels", {} if "matchExpressions" in selector else selector)
    return dict(labels) if isinstance(labels, dict) else {}


def ports_of(tree: Tree, options: Namespace, *, is_pod: bool) -> list[Tree]:
    """Return the ports of a service for an object: the one that is told, or its containers'."""
    target: int | str = options.target_port
    target = int(target) if str(target).isdecimal() else target
    spec = tree.get("spec") or {}
    spec = spec if is_pod else (spec.get("template") or {}).get("spec") or {}
    found = [port for one in spec.get("containers") or () for port in one.get("ports") or ()]
    if options.port:
        number = target or options.port
        return [{"port": options.port, "targetPort": number, "protocol": options.protocol or "TCP"}]
    many = len(found) > 1
    return [
        {
            "port": port["containerPort"],
            "targetPort": target or port["containerPort"],
            "protocol": options.protocol or port.get("protocol", "TCP"),
            **({"name": port.get("name") or f"port-{at}"} if many else {}),
        }
        for at, port in enumerate(found, 1)
    ]


VERB = Verb(configure, run)
