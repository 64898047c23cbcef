"""`cubectl drain`: make a node empty, as far as budgets of disruption allow."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from cubectl.objects.targets import PODS
from cubectl.objects.waiting import TooLate, are_gone, wait_until
from cubectl.output.printers import name_of, safe
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb, add_selection, span_s
from cubectl.verbs.nodes.choice import DAEMONSETS, Allowed, choice_of, place_of, told_of
from cubectl.verbs.nodes.cordon import DRY, NODES, add_dry_run, nodes_in, set_schedulable
from cubernetes.api.errors import ApiError, NotFound, TooManyRequests
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.selectors import parse
from cubernetes.client.wire.queries import Query, selection_query

WAIT_S_MAX = 24 * 3600.0
RETRY_S = 5.0  # until an eviction that a budget refused is asked for again


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="NODE")
    add_selection(parser, fields=False)
    parser.add_argument("--pod-selector", default="", metavar="LABELS", help="only these pods")
    parser.add_argument("--ignore-daemonsets", action="store_true", help="leave DaemonSets' pods")
    parser.add_argument(
        "--delete-emptydir-data", action="store_true", help="also pods whose files go with them"
    )
    parser.add_argument("--force", action="store_true", help="also pods that nobody makes again")
    parser.add_argument(
        "--disable-eviction", action="store_true", help="delete: budgets are not asked"
    )
    parser.add_argument(
        "--grace-period", type=int, default=-1, metavar="SECONDS", help="-1: as each pod says"
    )
    parser.add_argument("--timeout", default="0s", help="0 waits for a day at most")
    add_dry_run(parser)


def run(options: Namespace, session: Session) -> None:
    allowed = Allowed(
        is_forced=options.force,
        are_daemons_ignored=options.ignore_daemonsets,
        are_files_given_up=options.delete_emptydir_data,
        pods=parse(options.pod_selector),
    )
    if options.grace_period < -1:
        raise Misused("--grace-period: must be 0 or more, or -1")
    limit_s = span_s(options.timeout) or WAIT_S_MAX
    names = nodes_in(options, session)
    for name in names:
        set_schedulable(name, options, session, is_on=False)
    for name in names:
        try:
            _drain(name, allowed, options, session, limit_s)
        except (ApiError, Failed) as error:
            told = error.message if isinstance(error, ApiError) else str(error)
            session.fail(safe(f'unable to drain node "{name}": {told}'))


def _drain(
    name: str, allowed: Allowed, options: Namespace, session: Session, limit_s: float
) -> None:
    query = selection_query("", f"spec.nodeName={name}")
    pods = session.api.list(PODS, "", query).items

    def is_daemonset(namespace: str, daemonset: str) -> bool:
        try:
            session.api.get(DAEMONSETS, daemonset, namespace)
        except NotFound:
            return False
        return True

    choice = choice_of(pods, allowed, is_daemonset)
    if choice.obstacles:
        raise Failed("; ".join(told_of(choice.obstacles)))
    for line in told_of(choice.warnings):
        session.tell(safe(f"warning: {line}"))
    is_dry = options.dry_run != "none"
    _emptied(choice.going, query, options, session, limit_s)
    session.say(f"{name_of(NODES, name)} drained{DRY if is_dry else ''}")


def _emptied(
    pods: Sequence[Tree], query: Query, options: Namespace, session: Session, limit_s: float
) -> None:
    """Return when every pod is gone; what a budget refuses is asked again. Raises: Failed."""
    until_s = session.monotonic() + limit_s
    is_dry = options.dry_run != "none"
    waiting, leaving = list(pods), list[Tree]()
    while waiting or leaving:
        refused = [pod for pod in waiting if not _asked(pod, options, session, is_dry=is_dry)]
        leaving += [pod for pod in waiting if pod not in refused]
        waiting = refused
        left_s = until_s - session.monotonic()
        if left_s <= 0:
            late = ", ".join(place_of(pod) for pod in (*waiting, *leaving))
            raise Failed(f"{late}: global timeout reached: {options.timeout}")
        if not is_dry:
            _pause(leaving, query, session, min(left_s, RETRY_S if waiting else left_s),
                   is_asked_again=bool(waiting))  # fmt: skip
        gone = [pod for pod in leaving if is_dry or _is_gone(pod, session)]
        for pod in gone:
            word = "deleted" if options.disable_eviction else "evicted"
            session.say(f"{name_of(PODS, pod['metadata']['name'])} {word}{DRY if is_dry else ''}")
        leaving = [pod for pod in leaving if pod not in gone]


def _pause(
    leaving: Sequence[Tree], query: Query, session: Session, span_s: float, *, is_asked_again: bool
) -> None:
    """Wait until what leaves is gone; with others to ask again, the whole span."""
    gone = are_gone([pod["metadata"]["uid"] for pod in leaving])
    try:
        wait_until(
            session, PODS, "", query, lambda trees: not is_asked_again and gone(trees), span_s
        )
    except TooLate:
        return


def _is_gone(pod: Tree, session: Session) -> bool:
    metadata = pod["metadata"]
    try:
        found = session.api.get(PODS, metadata["name"], metadata["namespace"])
    except NotFound:
        return True
    return bool(found["metadata"].get("uid") != metadata["uid"])


def _asked(pod: Tree, options: Namespace, session: Session, *, is_dry: bool) -> bool:
    """Ask for a pod's eviction; return whether it was granted. Raises: ApiError."""
    metadata = pod["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    session.say(f"evicting pod {place_of(pod)}{DRY if is_dry else ''}")
    how: Tree = {"preconditions": {"uid": metadata["uid"]}}
    how |= {"gracePeriodSeconds": options.grace_period} if options.grace_period >= 0 else {}
    how |= {"dryRun": ["All"]} if is_dry else {}
    try:
        if options.disable_eviction:
            session.api.delete(PODS, name, namespace, how)
        else:
            session.api.evict(PODS, name, namespace, how)
    except NotFound:
        return True
    except TooManyRequests as error:
        where = f'error when evicting pods/"{name}" -n "{namespace}" (will retry after 5s)'
        session.tell(safe(f"{where}: {error.message}"))
        return False
    return True


VERB = Verb(configure, run)
