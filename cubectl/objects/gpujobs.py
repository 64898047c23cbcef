"""Which words mean GPU jobs, and where their output is."""

from cubectl.objects.targets import PODS, Target, target_in
from cubectl.objects.waiting import named, wait_until
from cubectl.session import Failed, Session
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource

PLURAL, GROUP = "gpujobs", "gpu.cubernetes.io"
WAIT_S = 7 * 86_400


def is_gpujob(target: Target) -> bool:
    return (target.kind.plural, target.kind.group) == (PLURAL, GROUP)


def gpujob_called(word: str, session: Session) -> Target | None:
    """Return the job that `gpujob/NAME` means; None where the word means something else."""
    if "/" not in word:
        return None
    target = target_in(word, session.kinds)
    return target if is_gpujob(target) else None


def output_of(job: Target, session: Session, *, follow: bool) -> tuple[Resource, str]:
    """Return whose log a job's output is: its pod's, or its own, at a site elsewhere.

    follow: waits until it has begun.

    Raises: Failed: it has not begun, or never will, and why.
    """
    tree = session.api.get(job.kind, job.name, session.namespace)
    if follow and not _has_place(tree):
        status = tree.get("status") or {}
        session.warn(f"gpujob/{job.name} waits: {status.get('message') or 'its turn has not come'}")
        wait_until(
            session, job.kind, session.namespace, named(job.name),
            lambda trees: not trees or _has_place(trees[0]) or _has_ended(trees[0]), WAIT_S,
        )  # fmt: skip
        tree = session.api.get(job.kind, job.name, session.namespace)
    status = tree.get("status") or {}
    place = str(status.get("siteJobID") or "")
    if not place:
        told = status.get("message") or "it waits"
        phase = status.get("phase", "Pending")
        raise Failed(f"gpujob/{job.name}: has no output yet, {phase}: {told}")
    return (PODS, place.rpartition("/")[2]) if "/" in place else (job.kind, job.name)


def _has_place(tree: Tree) -> bool:
    return bool((tree.get("status") or {}).get("siteJobID"))


def _has_ended(tree: Tree) -> bool:
    return bool((tree.get("status") or {}).get("endedAt"))
