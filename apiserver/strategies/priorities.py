"""What a pod is worth: the class that it names, or the default, written into it. Pure."""

from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import Forbidden
from cubernetes.api.meta import replaced
from cubernetes.api.scheduling.priorityclass import PriorityClass


def with_priority(pod: Pod, found: PriorityClass | None) -> Pod:
    """Return a new pod with what its class says; found: the class that it names, or the default.

    Raises: Forbidden: it names a class that there is none of, or says itself what it is worth.
    """
    spec, name = pod.spec, pod.metadata.name
    if found is None and spec.priority_class_name:
        told = f"no PriorityClass with name {spec.priority_class_name[:253]} was found"
        raise Forbidden(f'pods "{name}" is forbidden: {told}', kind="pods", name=name)
    value = found.value if found is not None else 0
    if spec.priority not in (None, value):
        told = (
            f"the integer value of priority ({spec.priority}) must not be provided in pod spec; "
            f"priority admission controller computed {value} from the given PriorityClass name"
        )
        raise Forbidden(f'pods "{name}" is forbidden: {told}', kind="pods", name=name)
    if found is None:
        return pod
    policy = found.preemption_policy
    if spec.preemption_policy not in (None, policy):
        told = (
            f"the string value of PreemptionPolicy ({spec.preemption_policy}) must not be provided "
            f"in pod spec; priority admission controller computed {policy} from the given "
            "PriorityClass name"
        )
        raise Forbidden(f'pods "{name}" is forbidden: {told}', kind="pods", name=name)
    named = replaced(
        spec,
        priority_class_name=found.metadata.name,
        priority=value,
        preemption_policy=policy,
    )
    return replaced(pod, spec=named)
