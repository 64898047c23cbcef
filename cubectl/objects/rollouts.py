"""Rollouts as trees: how far one is, its revisions, and what goes back to one. Pure."""

from collections.abc import Sequence
from typing import Any

from cubectl.session import Failed
from cubernetes.api.apps.revisions import CHANGE_CAUSE, HASH_LABEL, KEPT_APART, REVISION
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource

SETS = Resource("apps", "v1", "ReplicaSet", "replicasets")
RESTARTED = "kubectl.kubernetes.io/restartedAt"


def progress_of(tree: Tree) -> tuple[str, bool]:
    """Return how far a rollout is, in kubectl's words, and whether it has come to its end.

    Raises: Failed: it is past its deadline.
    """
    name, spec, status = tree["metadata"]["name"], tree["spec"], tree.get("status") or {}
    if tree["metadata"].get("generation", 0) > status.get("observedGeneration", 0):
        return "Waiting for deployment spec update to be observed...", False
    conditions = status.get("conditions") or []
    if any(one.get("reason") == "ProgressDeadlineExceeded" for one in conditions):
        raise Failed(f'deployment "{name}" exceeded its progress deadline')
    wanted, found = int(spec.get("replicas", 1)), int(status.get("replicas", 0))
    updated, available = (
        int(status.get(field, 0)) for field in ("updatedReplicas", "availableReplicas")
    )
    waits = f'Waiting for deployment "{name}" rollout to finish:'
    if updated < wanted:
        return f"{waits} {updated} out of {wanted} new replicas have been updated...", False
    if found > updated:
        return f"{waits} {found - updated} old replicas are pending termination...", False
    if available < updated:
        return f"{waits} {available} of {updated} updated replicas are available...", False
    return f'deployment "{name}" successfully rolled out', True


def revision_of(tree: Tree) -> int:
    text = str((tree["metadata"].get("annotations") or {}).get(REVISION, ""))
    return int(text) if text.isdecimal() and len(text) < 18 else 0


def cause_of(tree: Tree) -> str:
    return str((tree["metadata"].get("annotations") or {}).get(CHANGE_CAUSE) or "<none>")


def owned_by(tree: Tree, sets: Sequence[Tree]) -> list[Tree]:
    """Return the ReplicaSets of a Deployment, the oldest revision first."""
    uid = tree["metadata"].get("uid")
    mine = [
        one
        for one in sets
        for owner in one["metadata"].get("ownerReferences") or []
        if owner.get("controller") and owner.get("uid") == uid
    ]
    return sorted(mine, key=revision_of)


def revision_in(sets: Sequence[Tree], revision: int) -> Tree:
    """Return the ReplicaSet of a revision. Raises: Failed."""
    for one in sets:
        if revision_of(one) == revision:
            return one
    raise Failed("unable to find the specified revision")


def before(tree: Tree, sets: Sequence[Tree], revision: int) -> Tree:
    """Return the ReplicaSet to go back to: of a revision, or for 0 of the one before the last.

    Raises: Failed.
    """
    if revision:
        found = [one for one in sets if revision_of(one) == revision]
        if not found:
            raise Failed(f"unable to find specified revision {revision} in history")
        return found[0]
    if len(sets) < 2:
        raise Failed(f'no rollout history found for deployment "{tree["metadata"]["name"]}"')
    return sets[-2]


def template_of(one: Tree) -> Tree:
    """Return the template of a ReplicaSet as its Deployment had it."""
    template = one["spec"]["template"]
    metadata = dict(template.get("metadata") or {})
    labels = metadata.get("labels") or {}
    metadata["labels"] = {key: value for key, value in labels.items() if key != HASH_LABEL}
    return {**template, "metadata": metadata}


def undone(tree: Tree, one: Tree) -> Tree:
    """Return a Deployment with the template and the annotations of an old ReplicaSet."""
    own = tree["metadata"].get("annotations") or {}
    theirs = one["metadata"].get("annotations") or {}
    annotations = {key: value for key, value in own.items() if key in KEPT_APART}
    annotations |= {key: value for key, value in theirs.items() if key not in KEPT_APART}
    metadata = {**tree["metadata"], "annotations": annotations}
    return {**tree, "metadata": metadata, "spec": {**tree["spec"], "template": template_of(one)}}


def with_images(tree: Tree, images: dict[str, str]) -> Tree:
    """Return a workload or a pod with other images, by the container's name or `*` for all.

    Raises: Failed: there is no such container.
    """
    spec = tree["spec"]
    pod_spec: Tree = spec["template"]["spec"] if "template" in spec else spec
    names = [one["name"] for one in pod_spec["containers"]]
    for name in images:
        if name != "*" and name not in names:
            raise Failed(f'unable to find container named "{name}"')
    containers: list[Any] = [
        {**one, "image": images.get(one["name"], images.get("*", one["image"]))}
        for one in pod_spec["containers"]
    ]
    changed = {**pod_spec, "containers": containers}
    if "template" not in spec:
        return {**tree, "spec": changed}
    return {**tree, "spec": {**spec, "template": {**spec["template"], "spec": changed}}}
