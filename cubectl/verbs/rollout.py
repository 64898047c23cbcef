"""`cubectl rollout`: follow the rollout of a workload, undo, pause and restart it."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence

from cubectl.objects.rollouts import (
    RESTARTED,
    REVISIONS_OF,
    before,
    cause_of,
    owned_by,
    progress_of,
    revision_in,
    revision_of,
    template_of,
    undone,
)
from cubectl.objects.targets import Target, targets_in
from cubectl.objects.waiting import TooLate, named, wait_until
from cubectl.output.printers import name_of, safe, table_text, yaml_text
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb, span_s
from cubernetes.api.errors import ApiError, Conflict
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches.threeway import change_between

WAIT_S_MAX = 24 * 3600.0
TRY_COUNT_MAX = 10  # the controllers write to the Deployment all the while


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=sorted(ACTIONS))
    parser.add_argument("words", nargs="+", metavar="KIND NAME | KIND/NAME ...")
    parser.add_argument("--revision", type=int, default=0, help="history: of this one, the details")
    parser.add_argument("--to-revision", type=int, default=0, help="undo: 0 is the one before")
    parser.add_argument("-w", "--watch", choices=("true", "false"), default="true", nargs="?",
                        const="true", help="status: until the rollout has ended")  # fmt: skip
    parser.add_argument("--timeout", default="0s", help="status: 0 waits for a day at most")


def run(options: Namespace, session: Session) -> None:
    act = ACTIONS[options.action]
    for target in targets_in(options.words, session.kinds):
        if target.kind.group != "apps" or target.kind.plural not in REVISIONS_OF:
            kinds = ", ".join(sorted(REVISIONS_OF))
            raise Misused(f"{target.kind.plural} have no rollouts: name one of {kinds}")
        if not target.name:
            plural = target.kind.plural
            raise Misused(f"required resource not specified: name which of the {plural}")
        try:
            act(target, options, session)
        except ApiError as error:
            session.fail(safe(error.message))
        except Failed as error:
            session.fail(safe(str(error)))


def _status(target: Target, options: Namespace, session: Session) -> None:
    tree = session.api.get(target.kind, target.name, session.namespace)
    if options.watch == "false":
        session.say(safe(progress_of(tree)[0]))
        return
    said: list[str] = []

    def judge(trees: Sequence[Tree]) -> bool:
        if not trees:
            raise Failed("object has been deleted")
        text, is_done = progress_of(trees[0])
        if said[-1:] != [text]:
            said.append(text)
            session.say(safe(text))
        return is_done

    limit_s = span_s(options.timeout) or WAIT_S_MAX
    query = named(target.name)
    try:
        wait_until(session, target.kind, session.namespace, query, judge, limit_s)
    except TooLate:
        raise Failed("timed out waiting for the condition") from None


def _history(target: Target, options: Namespace, session: Session) -> None:
    _, sets = _revisions(target, session)
    title = name_of(target.kind, target.name)
    if options.revision:
        found = revision_in(sets, options.revision)
        session.say(f"{title} with revision #{options.revision}\nPod Template:")
        lines = yaml_text(template_of(found)).splitlines()
        session.say("\n".join(f"  {line}" for line in lines))
        return
    rows = [["REVISION", "CHANGE-CAUSE"]]
    rows += [[str(revision_of(one)), safe(cause_of(one))] for one in sets]
    session.say(f"{title}\n{table_text(rows)}")


def _undo(target: Target, options: Namespace, session: Session) -> None:
    if options.to_revision < 0:
        raise Misused("--to-revision: must be 0 or more")
    tree, sets = _revisions(target, session)
    title = name_of(target.kind, target.name)
    if tree["spec"].get("paused"):
        raise Failed(
            "you cannot rollback a paused deployment; resume it first with "
            "'cubectl rollout resume' and try again"
        )
    one = before(tree, sets, options.to_revision)
    if template_of(one) == tree["spec"]["template"]:
        revision = revision_of(one)
        session.say(
            f"{title} skipped rollback (current template already matches revision {revision})"
        )
        return
    _change(target, session, lambda found: undone(found, one))
    session.say(f"{title} rolled back")


def _pause(target: Target, _: Namespace, session: Session) -> None:
    _check_pausable(target, "pausing")

    def paused(tree: Tree) -> Tree:
        if tree["spec"].get("paused"):
            raise Failed(f'deployments.apps "{target.name}" is already paused')
        return _with(tree, paused=True)

    _change(target, session, paused)
    session.say(f"{name_of(target.kind, target.name)} paused")


def _resume(target: Target, _: Namespace, session: Session) -> None:
    _check_pausable(target, "resuming")

    def resumed(tree: Tree) -> Tree:
        if not tree["spec"].get("paused"):
            raise Failed(f'deployments.apps "{target.name}" is not paused')
        return _with(tree, paused=False)

    _change(target, session, resumed)
    session.say(f"{name_of(target.kind, target.name)} resumed")


def _restart(target: Target, _: Namespace, session: Session) -> None:
    at = session.now().isoformat(timespec="seconds").replace("+00:00", "Z")

    def restarted(tree: Tree) -> Tree:
        if tree["spec"].get("paused"):
            name = target.name
            raise Failed(
                f'deployments.apps "{name}" can\'t restart paused deployment '
                "(run rollout resume first)"
            )
        template = tree["spec"]["template"]
        metadata = dict(template.get("metadata") or {})
        metadata["annotations"] = {**(metadata.get("annotations") or {}), RESTARTED: at}
        return _with(tree, template={**template, "metadata": metadata})

    _change(target, session, restarted)
    session.say(f"{name_of(target.kind, target.name)} restarted")


def _check_pausable(target: Target, verb: str) -> None:
    """Raises: Failed: only Deployments have pauses."""
    if target.kind.plural != "deployments":
        raise Failed(f'{target.kind.plural}.apps "{target.name}" {verb} is not supported')


def _with(tree: Tree, **spec: object) -> Tree:
    return {**tree, "spec": {**tree["spec"], **spec}}


def _revisions(target: Target, session: Session) -> tuple[Tree, list[Tree]]:
    kind = REVISIONS_OF[target.kind.plural]
    tree = session.api.get(target.kind, target.name, session.namespace)
    return tree, owned_by(tree, session.api.list(kind, session.namespace).items)


def _change(target: Target, session: Session, changed: Callable[[Tree], Tree]) -> None:
    change_object(target, session.namespace, session, changed)


def change_object(
    target: Target, namespace: str, session: Session, changed: Callable[[Tree], Tree]
) -> bool:
    """Change an object as it is found, again where another has written meanwhile.

    Return whether there was anything to change.

    Raises: ApiError; what changed raises.
    """
    for count in range(TRY_COUNT_MAX):
        tree = session.api.get(target.kind, target.name, namespace)
        change = change_between(tree, changed(tree))
        if not change:
            return False
        version = {"resourceVersion": tree["metadata"].get("resourceVersion")}
        guarded = {**change, "metadata": {**change.get("metadata", {}), **version}}
        try:
            session.api.patch(target.kind, target.name, namespace, guarded)
        except Conflict:
            if count == TRY_COUNT_MAX - 1:
                raise
        else:
            return True
    return False


ACTIONS: Mapping[str, Callable[[Target, Namespace, Session], None]] = {
    "status": _status,
    "history": _history,
    "undo": _undo,
    "pause": _pause,
    "resume": _resume,
    "restart": _restart,
}
VERB = Verb(configure, run)
