"""Pods: they belong to a node, and take their time to end. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from apiserver.auth.authorize import CHANGE, Attempt, acting_node
from apiserver.state.items import Seen
from apiserver.strategies.admission.accounts import with_account
from apiserver.strategies.admission.limits import within_limits
from apiserver.strategies.admission.podsecurity.judging import PodLike, is_significant
from apiserver.strategies.admission.podsecurity.workloads import verdict_on
from apiserver.strategies.priorities import with_priority
from apiserver.strategies.strategy import ADMITTED, Cluster, Strategy, Verdict, with_status
from cubernetes.api.condition import Condition
from cubernetes.api.core.limitrange import LimitRange
from cubernetes.api.core.node import Node, is_given_by
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.qos import qos_of
from cubernetes.api.core.podstatus import PodStatus
from cubernetes.api.core.serviceaccount import DEFAULT, ServiceAccount
from cubernetes.api.errors import Forbidden, Problem
from cubernetes.api.meta import replaced
from cubernetes.api.scheduling.priorityclass import PriorityClass, default_of
from cubernetes.host.web.messages import Identity

# In Kubernetes' words; clients show the reason as the pod's status.
GATED = Condition(
    type="PodScheduled",
    status="False",
    reason="SchedulingGated",
    message="Scheduling is blocked due to non-empty scheduling gates",
)
FORBIDDEN = "FieldValueForbidden"
# Through these something may come to run that did not before.
JUDGED = ("", "ephemeralcontainers")
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
NOT_BOUND = "the pod is not bound to this node"
# What a node may do to a pod of its own, by subresource.
OF_ITS_OWN = {"": {"get", "delete"}, "status": {"get", *CHANGE}}


def _default(cluster: Cluster) -> PriorityClass | None:
    return default_of(cast(Iterable[PriorityClass], cluster.objects(PriorityClass)))


async def _with_account(cluster: Cluster, new: Pod) -> Pod:
    """Write into a pod whose it is; its account may be younger than memory."""
    name, namespace = new.spec.service_account_name or DEFAULT, new.metadata.namespace
    account = cluster.find(ServiceAccount, name, namespace)
    if account is None and name != DEFAULT:
        await cluster.caught_up()
        account = cluster.find(ServiceAccount, name, namespace)
    return with_account(new, account, cluster.fraction())


class Pods(Strategy[Pod]):
    """A binding sets the node of a pod, once; that node's kubelet reports on it."""

    node_field = "spec.nodeName"
    is_answered_with_object = True

    def prepared(self, new: Pod) -> Pod:
        conditions = (GATED,) if new.spec.scheduling_gates else ()
        return replaced(new, status=PodStatus(qos_class=qos_of(new.spec), conditions=conditions))

    async def allocated(self, cluster: Cluster, new: Pod, taken: Mapping[str, str]) -> Pod:  # noqa: ARG002
        """Write into a pod its account, what its class says, and its namespace's LimitRanges.

        A class may be younger than memory.
        """
        name = new.spec.priority_class_name
        found = cluster.find(PriorityClass, name) if name else _default(cluster)
        if name and found is None:
            await cluster.caught_up()
            found = cluster.find(PriorityClass, name)
        ranges = cluster.within(LimitRange, new.metadata.namespace)
        prior = with_priority(new, found)
        mine = await _with_account(cluster, prior) if cluster.settings.account_key else prior
        return within_limits(mine, cast(Sequence[LimitRange], list(ranges)))

    def with_status_of(self, one: Pod, new: Pod) -> Pod:
        """Take with a status the annotation that tells of the pod's interfaces."""
        told = new.metadata.annotations.get(NETWORK_STATUS, "")
        if told and told != one.metadata.annotations.get(NETWORK_STATUS):
            notes = {**one.metadata.annotations, NETWORK_STATUS: told}
            one = replaced(one, metadata=replaced(one.metadata, annotations=notes))
        return with_status(one, new.status)

    def creation_problems(self, new: Pod) -> Iterator[Problem]:
        if new.spec.ephemeral_containers:
            yield Problem("spec.ephemeralContainers", "cannot be set on create", FORBIDDEN)

    def update_problems(self, old: Pod, new: Pod) -> Iterator[Problem]:
        if old.spec.node_name != new.spec.node_name:
            message = "field is immutable: a binding sets it, once"
            yield Problem("spec.nodeName", message, FORBIDDEN)
        if old.spec.ephemeral_containers != new.spec.ephemeral_containers:
            message = "pod updates may not change it: write it through pods/ephemeralcontainers"
            yield Problem("spec.ephemeralContainers", message, FORBIDDEN)

    def check_change(
        self,
        cluster: Cluster,
        identity: Identity,
        old: Pod,
        new: Pod,
        seen: Seen,  # noqa: ARG002
    ) -> None:
        """Refuse an address that is not the node's to give: of its range, or its own.

        A node that was removed and came back may still run pods with addresses of the range that
        it had before, and another node may have that range now.
        """
        added = {one.ip for one in new.status.pod_ips} | {new.status.pod_ip}
        added -= {one.ip for one in old.status.pod_ips} | {old.status.pod_ip, ""}
        if not added or not (name := acting_node(identity)):
            return
        node = cluster.find(Node, name)
        for address in sorted(added):
            if node is None or not is_given_by(node, address):
                range_ = (node.spec.pod_cidr if node else "") or "none"
                told = f'node "{name}" may not give {address[:40]} to a pod: its range is {range_}'
                raise Forbidden(told, kind="pods", name=new.metadata.name)

    def verdict(
        self, cluster: Cluster, subresource: str, old: Pod | None, new: Pod, seen: Seen
    ) -> Verdict:
        if subresource not in JUDGED or (old is not None and not is_significant(old, new)):
            return ADMITTED
        one = PodLike(new.metadata.annotations, new.spec)
        return verdict_on(cluster, new.metadata.namespace, one, seen, is_pod=True)

    def grace_s(self, one: Pod, asked_s: int | None) -> int:
        """A pod with nothing to stop (unbound, finished) needs no time."""
        if not one.spec.node_name or is_finished(one):
            return 0
        return one.spec.termination_grace_period_seconds if asked_s is None else asked_s

    def node_of(self, one: Pod) -> str:
        return one.spec.node_name

    def access_refusal(
        self,
        node: str,
        attempt: Attempt,
        one: Pod | None,
        *,
        is_named: bool,  # noqa: ARG002
    ) -> str:
        if attempt.verb in ("list", "watch"):
            is_own = attempt.node == node and not attempt.subresource
            return "" if is_own else "a node must ask with fieldSelector spec.nodeName=<itself>"
        if attempt.verb not in OF_ITS_OWN.get(attempt.subresource, ()):
            return "a node may read, report and delete its pods, nothing else"
        # Where nothing is there, nothing is to be protected: the verb will say so.
        return "" if one is None or one.spec.node_name == node else NOT_BOUND

    def node_refusal(self, node: str, subresource: str, old: Pod | None, new: Pod) -> str:  # noqa: ARG002
        return "" if old is not None and old.spec.node_name == node else NOT_BOUND
