"""Our console at a container that was just asked for: wait, attach, and tell how it ended."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from cubectl.objects.targets import PODS
from cubectl.objects.waiting import Judge, TooLate, named, wait_until
from cubectl.session import Failed, Session
from cubectl.verb import span_s
from cubectl.verbs.reaching.attach import attach_to, container_of
from cubectl.verbs.reaching.logs import print_log
from cubernetes.api.errors import BadRequest
from cubernetes.api.notation.jsontext import Tree
from cubernetes.client.wire.queries import log_query

FINISHED = ("Succeeded", "Failed")
STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
END_DEADLINE_S = 60.0


def add_console(parser: ArgumentParser) -> None:
    parser.add_argument(
        "-i", "--stdin", action="store_true", help="give it an input, which is ours"
    )
    parser.add_argument(
        "-t", "--tty", action="store_true", help="give it a terminal, which is ours"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="tell only what it says")
    parser.add_argument("--pod-running-timeout", default="1m", metavar="SPAN",
                        help="how long it may take to begin (default 1m)")  # fmt: skip


def state_of(pod: Tree, container: str) -> Tree:
    """Return `running`, `waiting` or `terminated` and what stands there; empty before all."""
    status = pod.get("status") or {}
    for field in STATUSES:
        for one in status.get(field) or ():
            if one.get("name") == container:
                state: Tree = one.get("state") or {}
                return state
    return {}


def attach_when_running(
    session: Session, name: str, container: str, options: Namespace, *, is_added: bool = False
) -> Tree | None:
    """Attach once it runs, and return when it has ended: the pod as it was last seen before.

    What has ended already is told by its log. is_added: it may run in a pod that is over.

    Raises: Failed: it does not begin.
    """
    judge = _has_begun(container, is_added=is_added)
    pod = _until(session, name, judge, span_s(options.pod_running_timeout))
    if pod is None:
        raise Failed(f"pod {name!r} was deleted before its container began")
    if "running" in state_of(pod, container):
        try:
            attach_to(session, pod, container_of(pod, container), options)
        except BadRequest as refused:
            if "is not running" not in refused.message:
                raise
        else:
            return pod
    print_log(session, PODS, name, log_query(container=container))
    return pod


def code_at_the_end(session: Session, name: str, container: str) -> int:
    """Wait for a pod's end, and return the exit code of its container; 0 where it was deleted.

    Raises: Failed: it has not ended.
    """
    pod = _until(session, name, _is_over, END_DEADLINE_S)
    if pod is None or pod["status"].get("phase") == "Succeeded":
        return 0
    ended = state_of(pod, container).get("terminated") or {}
    place = f"{session.namespace}/{name}"
    session.tell(f"pod {place} terminated ({ended.get('reason') or 'Error'})")
    return int(ended.get("exitCode") or 1)


def _until(session: Session, name: str, judge: Judge, limit_s: float) -> Tree | None:
    """Return the pod when it is as asked; None where it is gone. Raises: Failed."""
    seen: list[Tree] = []

    def judged(pods: Sequence[Tree]) -> bool:
        seen[:] = pods
        return not pods or judge(pods)

    try:
        wait_until(session, PODS, session.namespace, named(name), judged, limit_s)
    except TooLate as late:
        raise Failed(f"pod {name!r}: timed out waiting for it: {_why(seen)}") from late
    return seen[0] if seen else None


def _why(pods: Sequence[Tree]) -> str:
    """Return what a pod says of what it waits for."""
    status = (pods[0].get("status") or {}) if pods else {}
    reasons = [
        f"{one['name']}: {waiting.get('reason', '')} {waiting.get('message', '')}".strip()
        for field in STATUSES
        for one in status.get(field) or ()
        if (waiting := (one.get("state") or {}).get("waiting"))
    ]
    return "; ".join(reasons) or str(status.get("phase") or "Pending")


def _has_begun(container: str, *, is_added: bool) -> Judge:
    def judged(pods: Sequence[Tree]) -> bool:
        state = state_of(pods[0], container)
        return (not is_added and _is_over(pods)) or "running" in state or "terminated" in state

    return judged


def _is_over(pods: Sequence[Tree]) -> bool:
    return (pods[0].get("status") or {}).get("phase") in FINISHED
