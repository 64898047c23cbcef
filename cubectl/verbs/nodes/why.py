"""`cubectl why pod`: what each node says to a pod, and what would be if nodes were other.

`cubectl why hpa/NAME`: why an autoscaler wants as many replicas as it does.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence

from cubectl.output.printers import safe
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubernetes.api.coding import codec
from cubernetes.api.core import namespace
from cubernetes.api.core.node import Node
from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.volumes.volume import claims_of
from cubernetes.api.meta import Object
from cubernetes.api.policy.poddisruptionbudget import PodDisruptionBudget
from cubernetes.api.storage.storageclass import StorageClass
from cubernetes.scheduling.whatif import FORMS, Answer, Cluster, NotUnderstood, answer

NODES_SHOWN_MAX = 8
PODS = ("pod", "pods", "po")


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("kind", metavar="pod NAME | hpa/NAME | autoscaler/NAME")
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument(
        "--if",
        dest="suppositions",
        action="append",
        default=[],
        metavar="CHANGE",
        help=f"also say what would be; nothing is changed; may be repeated: {'; '.join(FORMS)}",
    )


def run(options: Namespace, session: Session) -> None:
    kind, _, slashed = options.kind.partition("/")
    name = slashed or options.name
    if not name or (slashed and options.name):
        raise Misused("name one pod or autoscaler: cubectl why pod web-0, cubectl why hpa/web")
    if kind in PODS:
        _of_pod(name, options.suppositions, session)
        return
    if options.suppositions:
        raise Misused("--if: for pods; cubectl autoscale replay tries another policy")
    from cubectl.verbs.scaling import history

    history.explain(f"{kind}/{name}", session)


def _of_pod(name: str, suppositions: Sequence[str], session: Session) -> None:
    tree = session.api.get(Pod.resource, name, session.namespace)
    pod = codec.from_tree(Pod, tree).model
    has_claims = bool(claims_of(pod.spec.volumes))
    cluster = Cluster(
        _all(session, Pod),
        _all(session, Node),
        _all(session, namespace.Namespace),
        _all(session, PodDisruptionBudget),
        _all(session, PersistentVolumeClaim) if has_claims else (),
        _all(session, PersistentVolume) if has_claims else (),
        _all(session, StorageClass) if has_claims else (),
    )
    now = answer(cluster, pod)
    try:
        then = answer(cluster, pod, suppositions) if suppositions else None
    except NotUnderstood as error:
        raise Misused(f"--if: {error}") from error
    lines = list(_standing(pod))
    lines += _told(now, "now")
    if then is not None:
        lines += _told(then, "if " + ", ".join(suppositions))
    session.out.write("".join(f"{safe(line)}\n" for line in lines))


def _all[O: Object](session: Session, kind: type[O]) -> list[O]:
    trees = session.api.list(kind.resource, "").items
    return [codec.from_tree(kind, tree).model for tree in trees]


def _standing(pod: Pod) -> Iterator[str]:
    """Yield what the pod itself says, which goes before all nodes."""
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    if is_finished(pod):
        raise Failed(f"{name} has finished")
    if pod.spec.scheduling_gates:
        held = ", ".join(one.name for one in pod.spec.scheduling_gates)
        yield f"{name} is held back by its scheduling gates: {held}"
    elif pod.spec.node_name:
        yield f"{name} is on {pod.spec.node_name}; without a node it would be decided so:"
    else:
        yield f"{name} waits for {pod.spec.scheduler_name}"


def _told(found: Answer, when: str) -> Iterator[str]:
    count = len(found.passing)
    total = count + len({name for one in found.refusing for name in one.nodes})
    if found.chosen:
        yield f"{when}: {found.chosen} takes it; {count} of {total} nodes can: " + _few(
            found.passing
        )
    else:
        yield f"{when}: no node takes it, of {total}"
    if found.room:
        yield f"  {found.room} would, in the place of {_few(found.victims)}"
    for one in found.refusing:
        yield f"  {len(one.nodes)} by {one.plugin}: {one.reason}: {_few(one.nodes)}"


def _few(names: tuple[str, ...]) -> str:
    more = len(names) - NODES_SHOWN_MAX
    return ", ".join(names[:NODES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


VERB = Verb(configure, run)
