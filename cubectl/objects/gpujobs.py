"""Which words mean GPU jobs, and the pods that these run as."""

from cubectl.objects.targets import Target, targets_in
from cubectl.session import Failed, Session

PLURAL, GROUP = "gpujobs", "gpu.cubernetes.io"


def is_gpujob(target: Target) -> bool:
    return (target.kind.plural, target.kind.group) == (PLURAL, GROUP)


def pod_of_gpujob(word: str, session: Session) -> str:
    """Return the pod that `gpujob/NAME` runs as; empty where the word means something else.

    Raises: Failed: the job has not begun, and why.
    """
    if "/" not in word:
        return ""
    (target,) = targets_in([word], session.kinds)
    if not is_gpujob(target):
        return ""
    status = session.api.get(target.kind, target.name, session.namespace).get("status") or {}
    place = str(status.get("siteJobID") or "")
    if not place:
        told = status.get("message") or "it waits"
        raise Failed(f"{word}: has no output yet, {status.get('phase', 'Pending')}: {told}")
    return place.rpartition("/")[2]
