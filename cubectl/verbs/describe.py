"""`cubectl describe`: everything about an object, with what happened to it."""

from argparse import ArgumentParser, Namespace
from collections import Counter

from cubectl.objects.judging import model_of
from cubectl.objects.targets import targets_in
from cubectl.output import printers
from cubectl.output.describe import Section, description
from cubectl.session import Session
from cubectl.verb import Verb, add_selection, selection_of
from cubernetes.api.apiextensions.definedkinds import undefined_kind
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.batch.job import Job
from cubernetes.api.coding import codec
from cubernetes.api.core.event import Event
from cubernetes.api.core.node import Node
from cubernetes.api.core.parts.resources import units
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.requests import requested
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import SERVICE_LABEL, EndpointSlice
from cubernetes.api.errors import ApiError
from cubernetes.api.meta import Object
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource
from cubernetes.api.selectors import selector_text
from cubernetes.client.wire.queries import Query, selection_query
from cubernetes.scheduling.plugins.resources import amount_text


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="+", metavar="KIND [NAME ...] | KIND/NAME ...")
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    add_selection(parser)


def run(options: Namespace, session: Session) -> None:
    is_first = True
    for target in targets_in(options.words, session.kinds):
        kind, model = target.kind, _model_of(target.kind)
        wide = options.all_namespaces or not kind.namespaced
        place = "" if wide else session.namespace
        try:
            if target.name:
                trees = [session.api.get(kind, target.name, place)]
            else:
                trees = session.api.list(kind, place, selection_of(options)).items
        except ApiError as error:
            session.fail(printers.safe(error.message))
            continue
        for tree in trees:
            session.out.write(("" if is_first else "\n\n") + _described(session, model, tree))
            is_first = False


def _model_of(kind: Resource) -> type[Object]:
    """Return what this program knows of a kind's fields: of a custom one that it has any."""
    return model_of(kind) or undefined_kind(kind)


def _described(session: Session, kind: type[Object], tree: Tree) -> str:
    one = codec.served(kind, tree)
    about = selection_query("", f"involvedObject.uid={one.metadata.uid}")
    # Events about an object without a namespace are kept in `default`.
    events = session.api.list(Event.resource, one.metadata.namespace or "default", about).items
    return description(one, tree, _sections(session, one), events, session.now())


def _sections(session: Session, one: Object) -> list[Section]:
    """Return what other objects say about this one."""
    match one:
        case Service():
            query = selection_query(f"{SERVICE_LABEL}={one.metadata.name}", "")
            return [_table(session, "Endpoint Slices", EndpointSlice, one, query)]
        case Deployment():
            query = selection_query(selector_text(one.spec.selector.match_labels), "")
            return [_table(session, "Replica Sets", ReplicaSet, one, query)]
        case Job() if one.spec.selector is not None:
            query = selection_query(selector_text(one.spec.selector.match_labels), "")
            return [_table(session, "Pods", Pod, one, query)]
        case ReplicaSet():
            query = selection_query(selector_text(one.spec.selector.match_labels), "")
            return [_table(session, "Pods", Pod, one, query)]
        case Node():
            query = selection_query("", f"spec.nodeName={one.metadata.name}")
            pods = [_table(session, "Pods", Pod, one, query)]
            return [*pods, ("Allocated resources", _given_away(session, one, query))]
        case _:
            return []


def _given_away(session: Session, node: Node, query: Query) -> list[list[str]]:
    """Return what pods request of each resource of a node, as the scheduler counts it."""
    found = session.api.list(Pod.resource, "", query).items
    pods = [codec.served(Pod, tree) for tree in found]
    totals = Counter[str]()
    for pod in pods:
        totals.update(requested(pod.spec) if not is_finished(pod) else {})
    there = {name: units(name, amount) for name, amount in node.status.allocatable.items()}
    there.pop("pods", None)
    rows = [
        [printers.safe(name), *(amount_text(name, one.get(name, 0)) for one in (totals, there))]
        for name in sorted({*totals, *there})
    ]
    return [["RESOURCE", "REQUESTS", "ALLOCATABLE"], *rows]


def _table(
    session: Session, title: str, kind: type[Object], about: Object, query: Query
) -> Section:
    columns = [column for column in kind.columns if not column.wide]
    items = session.api.list(kind.resource, about.metadata.namespace, query).items
    models = [codec.served(kind, item) for item in items]
    now = session.now()
    rows = [[printers.safe(str(one.cell(model, now))) for one in columns] for model in models]
    heads = [column.title.upper() for column in columns]
    return title, [heads, *rows] if rows else [["<none>"]]


VERB = Verb(configure, run)
