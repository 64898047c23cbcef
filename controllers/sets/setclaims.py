"""The claims of a StatefulSet's pods: made before their pod, kept or let go as its policy says."""

from collections.abc import Iterator

from controllers.owners import with_owners
from cubernetes.api.apps.statefulset import StatefulSet, claim_name
from cubernetes.api.core.persistentvolumeclaim import (
    PersistentVolumeClaim,
    PersistentVolumeClaimStatus,
)
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import Object, ObjectMeta, OwnerReference, replaced
from cubernetes.reconcile.plan import Create, Patch, View


def claims_made(wanted: StatefulSet, pod: str) -> Iterator[PersistentVolumeClaim]:
    """Yield the claims of a pod, as they are made."""
    policy = wanted.spec.persistent_volume_claim_retention_policy
    owners = (_reference(wanted),) if policy.when_deleted == "Delete" else ()
    for template in wanted.spec.volume_claim_templates:
        meta = template.metadata
        labels = {**meta.labels, **wanted.spec.selector.match_labels}
        yield replaced(
            template,
            metadata=ObjectMeta(
                name=claim_name(template, pod),
                namespace=wanted.metadata.namespace,
                labels=labels,
                annotations=meta.annotations,
                owner_references=owners,
            ),
            status=PersistentVolumeClaimStatus(),
        )


def missing(wanted: StatefulSet, pod: str, view: View) -> Iterator[Create]:
    """Yield what makes the claims that a pod lacks."""
    for claim in claims_made(wanted, pod):
        meta = claim.metadata
        if view.get(PersistentVolumeClaim, meta.name, meta.namespace) is None:
            yield Create(claim)


def leaving(wanted: StatefulSet, pod: str, view: View) -> str:
    """Return a claim of a pod that is being deleted: the pod waits for the next of its name."""
    for claim in _claims(wanted, pod, view):
        if claim.metadata.is_deleted:
            return claim.metadata.name
    return ""


def owned_as_wanted(
    wanted: StatefulSet, pod: Pod, view: View, *, is_surplus: bool
) -> Iterator[Patch]:
    """Yield what has the claims of a pod go with the set, with the pod, or with nobody."""
    policy = wanted.spec.persistent_volume_claim_retention_policy
    goes_with_pod = is_surplus and policy.when_scaled == "Delete"
    goes_with_set = policy.when_deleted == "Delete" and not goes_with_pod
    for claim in _claims(wanted, pod.metadata.name, view):
        owners = claim.metadata.owner_references
        kept = [one for one in owners if not _is_of(one, wanted, pod)]
        kept += [_reference(wanted)] if goes_with_set else []
        kept += [_reference(pod)] if goes_with_pod else []
        if {one.uid for one in kept} != {one.uid for one in owners}:
            yield with_owners(claim, kept)


def _claims(wanted: StatefulSet, pod: str, view: View) -> Iterator[PersistentVolumeClaim]:
    for template in wanted.spec.volume_claim_templates:
        name, namespace = claim_name(template, pod), wanted.metadata.namespace
        claim = view.get(PersistentVolumeClaim, name, namespace)
        if claim is not None:
            yield claim


def _is_of(owner: OwnerReference, wanted: StatefulSet, pod: Pod) -> bool:
    """Whether an owner is the set, or the pod in this or an earlier incarnation."""
    is_pod = (owner.kind, owner.name) == (pod.kind, pod.metadata.name)
    return is_pod or owner.uid == wanted.metadata.uid


def _reference(one: Object) -> OwnerReference:
    """Return an owner that does not manage: a claim is its own to bind."""
    return replaced(Object.owner_reference(one), controller=None, block_owner_deletion=None)
