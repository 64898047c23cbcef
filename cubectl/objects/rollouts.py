"""Rollouts as trees: how far one is, its revisions, and what goes back to one. Pure."""

from collections.abc import Callable, Mapping, Sequence

from cubectl.session import Failed
from cubernetes.api.apps.revisions import CHANGE_CAUSE, HASH_LABEL, KEPT_APART, REVISION
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource

SETS = Resource("apps", "v1", "ReplicaSet", "replicasets")
REVISIONS = Resource("apps", "v1", "ControllerRevision", "controllerrevisions")
# What the revisions of a kind are.
REVISIONS_OF: Mapping[str, Resource] = {
    "deployments": SETS, "statefulsets": REVISIONS, "daemonsets": REVISIONS,
}  # fmt: skip
ROLLING = "RollingUpdate"
RESTARTED = "kubectl.kubernetes.io/restartedAt"

type Count = Callable[[str], int]  # A number of a status; 0 where it is not told.


def progress_of(tree: Tree) -> tuple[str, bool]:
    """Return how far a rollout is, in kubectl's words, and whether it has come to its end.

    Raises: Failed: it is past its deadline, or does not go on by itself.
    """
    strategy = tree["spec"].get("updateStrategy") or {}
    if strategy.get("type", ROLLING) != ROLLING:
        raise Failed("rollout status is only available for RollingUpdate strategy type")
    noun, progress = PROGRESSES[tree["kind"]]
    count = _counts(tree.get("status") or {})
    if tree["metadata"].get("generation", 0) > count("observedGeneration"):
        return f"Waiting for {noun} spec update to be observed...", False
    return progress(tree, count)


def _counts(status: Tree) -> Count:
    return lambda field: int(status.get(field) or 0)


def _statefulset(tree: Tree, count: Count) -> tuple[str, bool]:
    spec, status = tree["spec"], tree.get("status") or {}
    wanted = int(spec.get("replicas", 1))
    if (ready := count("readyReplicas")) < wanted:
        return f"Waiting for {wanted - ready} pods to be ready...", False
    bounds = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
    updated = count("updatedReplicas")
    if partition := bounds.get("partition"):
        due = wanted - partition
        if updated < due:
            told = f"{updated} out of {due} new pods have been updated..."
            return f"Waiting for partitioned roll out to finish: {told}", False
        return f"partitioned roll out complete: {updated} new pods have been updated...", True
    current, revision = status.get("currentRevision", ""), status.get("updateRevision", "")
    if revision != current:
        told = f"{updated} pods at revision {revision}..."
        return f"waiting for statefulset rolling update to complete {told}", False
    told = f"{count('currentReplicas')} pods at revision {current}..."
    return f"statefulset rolling update complete {told}", True


def _daemonset(tree: Tree, count: Count) -> tuple[str, bool]:
    name = tree["metadata"]["name"]
    waits = f'Waiting for daemon set "{name}" rollout to finish:'
    desired, updated = count("desiredNumberScheduled"), count("updatedNumberScheduled")
    if updated < desired:
        return f"{waits} {updated} out of {desired} new pods have been updated...", False
    if (available := count("numberAvailable")) < desired:
        return f"{waits} {available} of {desired} updated pods are available...", False
    return f'daemon set "{name}" successfully rolled out', True


def _deployment(tree: Tree, count: Count) -> tuple[str, bool]:
    name = tree["metadata"]["name"]
    conditions = (tree.get("status") or {}).get("conditions") or []
    if any(one.get("reason") == "ProgressDeadlineExceeded" for one in conditions):
        raise Failed(f'deployment "{name}" exceeded its progress deadline')
    wanted, found = int(tree["spec"].get("replicas", 1)), count("replicas")
    updated, available = count("updatedReplicas"), count("availableReplicas")
    waits = f'Waiting for deployment "{name}" rollout to finish:'
    if updated < wanted:
        return f"{waits} {updated} out of {wanted} new replicas have been updated...", False
    if found > updated:
        return f"{waits} {found - updated} old replicas are pending termination...", False
    if available < updated:
        return f"{waits} {available} of {updated} updated replicas are available...", False
    return f'deployment "{name}" successfully rolled out', True


# What a kind is called, and how far one of it is once its controller has seen the change.
PROGRESSES: Mapping[str, tuple[str, Callable[[Tree, Count], tuple[str, bool]]]] = {
    "Deployment": ("deployment", _deployment),
    "StatefulSet": ("statefulset", _statefulset),
    "DaemonSet": ("daemon set", _daemonset),
}


def revision_of(tree: Tree) -> int:
    if tree.get("kind") == REVISIONS.kind:
        return int(tree.get("revision") or 0)
    text = str((tree["metadata"].get("annotations") or {}).get(REVISION))
    return int(text) if text.isdecimal() and len(text) < 18 else 0


def cause_of(tree: Tree) -> str:
    return str((tree["metadata"].get("annotations") or {}).get(CHANGE_CAUSE) or "<none>")


def owned_by(tree: Tree, sets: Sequence[Tree]) -> list[Tree]:
    """Return the revisions of a workload, the oldest first."""
    uid = tree["metadata"].get("uid")
    mine = [
        one
        for one in sets
        for owner in one["metadata"].get("ownerReferences") or []
        if owner.get("controller") and owner.get("uid") == uid
    ]
    return sorted(mine, key=revision_of)


def revision_in(sets: Sequence[Tree], revision: int) -> Tree:
    """Return what has a revision. Raises: Failed."""
    for one in sets:
        if revision_of(one) == revision:
            return one
    raise Failed("unable to find the specified revision")


def before(tree: Tree, sets: Sequence[Tree], revision: int) -> Tree:
    """Return what to go back to: a revision, or for 0 the one before the last.

    Raises: Failed.
    """
    if revision:
        found = [one for one in sets if revision_of(one) == revision]
        if not found:
            raise Failed(f"unable to find specified revision {revision} in history")
        return found[0]
    if len(sets) < 2:
        kind, name = str(tree["kind"]).lower(), tree["metadata"]["name"]
        raise Failed(f'no rollout history found for {kind} "{name}"')
    return sets[-2]


def template_of(one: Tree) -> Tree:
    """Return the template of a revision as its workload had it."""
    if one.get("kind") == REVISIONS.kind:
        recorded = one["data"]["spec"]["template"]
        return {key: value for key, value in recorded.items() if key != "$patch"}
    template = one["spec"]["template"]
    metadata = dict(template.get("metadata") or {})
    labels = metadata.get("labels") or {}
    metadata["labels"] = {key: value for key, value in labels.items() if key != HASH_LABEL}
    return {**template, "metadata": metadata}


def undone(tree: Tree, one: Tree) -> Tree:
    """Return a workload with the template of a revision; a Deployment with its annotations too."""
    if tree["kind"] != "Deployment":
        return {**tree, "spec": {**tree["spec"], "template": template_of(one)}}
    own = tree["metadata"].get("annotations") or {}
    theirs = one["metadata"].get("annotations") or {}
    annotations = {key: value for key, value in own.items() if key in KEPT_APART}
    annotations |= {key: value for key, value in theirs.items() if key not in KEPT_APART}
    metadata = {**tree["metadata"], "annotations": annotations}
    return {**tree, "metadata": metadata, "spec": {**tree["spec"], "template": template_of(one)}}
