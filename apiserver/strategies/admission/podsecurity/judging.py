"""What a namespace's Pod Security levels say of a pod, a template, and pods that stand. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from apiserver.strategies.admission.podsecurity.controls import Notes, Violation, violations
from apiserver.strategies.admission.podsecurity.levels import (
    PREFIX,
    Level,
    Policy,
    Standard,
    label_problems,
    policy_of,
)
from apiserver.strategies.strategy import ADMITTED, Verdict
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import PodSpec

# So many pods of a namespace are looked at when its level is changed.
PODS_MAX = 500
# Kubernetes judges a pod again where one of these annotations has changed, or an image.
SECCOMP_NOTES = "seccomp.security.alpha.kubernetes.io/"


class PodLike(NamedTuple):
    """What of a pod or a template the standards are about."""

    notes: Notes
    spec: PodSpec


def judged(labels: Mapping[str, str], one: PodLike, default: Level, *, is_pod: bool) -> Verdict:
    """Judge a pod, or the template of a workload: of that one nothing is enforced."""
    policy = policy_of(labels, default)
    if policy.is_open:
        return ADMITTED
    found: dict[Standard, tuple[Violation, ...]] = {}
    for standard in policy if is_pod else (policy.audit, policy.warn):
        if standard not in found:
            found[standard] = tuple(violations(standard, one.notes, one.spec))
    notes = _notes(policy, found, labels, is_pod=is_pod)
    if is_pod and (wrong := found[policy.enforce]):
        return Verdict(refusal=_sentence("violates", policy.enforce, wrong), notes=notes)
    if wrong := found[policy.warn]:
        return Verdict(warnings=(_sentence("would violate", policy.warn, wrong),), notes=notes)
    return Verdict(notes=notes)


def _notes(
    policy: Policy,
    found: Mapping[Standard, tuple[Violation, ...]],
    labels: Mapping[str, str],
    *,
    is_pod: bool,
) -> dict[str, str]:
    """Return what the audit tells, by the names of Kubernetes' audit annotations."""
    notes = {f"{PREFIX}enforce-policy": str(policy.enforce)} if is_pod else {}
    if wrong := found[policy.audit]:
        notes[f"{PREFIX}audit-violations"] = _sentence("would violate", policy.audit, wrong)
    if problems := [f"{one.field}: {one.message}" for one in label_problems(labels)]:
        notes[f"{PREFIX}error"] = f"Failed to parse policy: {'; '.join(problems)}"
    return notes


def _sentence(verb: str, standard: Standard, wrong: Iterable[Violation]) -> str:
    return f'{verb} PodSecurity "{standard}": {", ".join(map(str, wrong))}'


def is_significant(old: Pod, new: Pod) -> bool:
    """Whether a change of a pod lets something run in it that did not before.

    An ephemeral container that is taken away lets nothing.
    """
    if _seccomp_notes(old) != _seccomp_notes(new):
        return True
    if old.spec is new.spec:
        return False
    return _images(old) != _images(new) or not _looking(new) <= _looking(old)


def _seccomp_notes(pod: Pod) -> dict[str, str]:
    return {key: text for key, text in pod.metadata.annotations.items() if SECCOMP_NOTES in key}


def _images(pod: Pod) -> list[list[tuple[str, str]]]:
    groups = (pod.spec.init_containers, pod.spec.containers)
    return [[(one.name, one.image) for one in group] for group in groups]


def _looking(pod: Pod) -> set[tuple[str, str]]:
    return {(one.name, one.image) for one in pod.spec.ephemeral_containers}


def warnings_for(
    namespace: str, old: Standard, new: Standard, pods: Iterable[Pod]
) -> tuple[str, ...]:
    """Return which pods stand that a namespace's new level would refuse.

    A looser level refuses nothing more. Of pods with one controller the first is looked at before
    others: they are most often the same.
    """
    is_looser = new.version == old.version and not new.is_stricter_than(old)
    if new == old or new.level == "privileged" or is_looser:
        return ()
    every = list(pods)
    looked_at = list(islice(_with_firsts_first(every), PODS_MAX))
    told: list[str] = []
    if len(looked_at) < len(every):
        told.append(
            "new PodSecurity enforce level only checked against the first "
            f"{len(looked_at)} of {len(every)} existing pods"
        )
    names: dict[str, list[str]] = {}
    for pod in looked_at:
        wrong = violations(new, pod.metadata.annotations, pod.spec)
        if reasons := ", ".join(one.reason for one in wrong):
            names.setdefault(reasons, []).append(pod.metadata.name)
    if names:
        told.append(
            f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level '
            f'"{new}"'
        )
    told.extend(sorted(f"{_counted(each)}: {reasons}" for reasons, each in names.items()))
    return tuple(told)


def _with_firsts_first(pods: Sequence[Pod]) -> list[Pod]:
    first: dict[str, Pod] = {}
    others: list[Pod] = []
    for pod in pods:
        owner = pod.metadata.controller
        uid = owner.uid if owner is not None else pod.metadata.uid
        if first.setdefault(uid, pod) is not pod:
            others.append(pod)
    return [*first.values(), *others]


def _counted(names: Sequence[str]) -> str:
    first, more = min(names), len(names) - 1
    if not more:
        return first
    return f"{first} (and {more} other pod{'s' if more > 1 else ''})"
