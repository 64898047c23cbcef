"""Workloads: what their namespace's Pod Security levels say of their pods-to-be. Pure."""

from apiserver.state.items import Item, Seen
from apiserver.state.keys import key_of
from apiserver.strategies.admission.podsecurity.judging import PodLike, judged
from apiserver.strategies.strategy import ADMITTED, Cluster, Strategy, Unread, Verdict
from cubernetes.api.apps.daemonset import DaemonSet
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.apps.statefulset import StatefulSet
from cubernetes.api.batch.cronjob import CronJob
from cubernetes.api.batch.job import Job
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.pod import PodTemplate
from cubernetes.api.cubernetes.autoscaler import AutoScaler
from cubernetes.api.meta import Labels

type Workload = Deployment | ReplicaSet | StatefulSet | DaemonSet | Job | CronJob | AutoScaler


class Workloads[K: Workload](Strategy[K]):
    """Their authors are warned at once; only the pods themselves are refused."""

    def verdict(
        self, cluster: Cluster, subresource: str, old: K | None, new: K, seen: Seen
    ) -> Verdict:
        template = _template_of(new)
        if subresource or template is None or (old is not None and old.spec is new.spec):
            return ADMITTED
        one = PodLike(template.metadata.annotations, template.spec)
        return verdict_on(cluster, new.metadata.namespace, one, seen, is_pod=False)


def verdict_on(
    cluster: Cluster, namespace: str, one: PodLike, seen: Seen, *, is_pod: bool
) -> Verdict:
    """Return what the levels of a namespace say of a pod or of a template. Raises: Unread."""
    settings = cluster.settings
    if namespace in settings.pod_security_exempt:
        return ADMITTED
    labels = _labels_of(namespace, seen)
    return judged(labels, one, settings.pod_security, is_pod=is_pod)


def _labels_of(namespace: str, seen: Seen) -> Labels:
    """Return the labels of a namespace as they stand in this very transaction. Raises: Unread."""
    key = key_of(Namespace, "", namespace)
    if key not in seen:
        raise Unread((key,))
    found = seen[key]
    return found.object.metadata.labels if isinstance(found, Item) else {}


def _template_of(one: Workload) -> PodTemplate | None:
    return one.spec.job_template.spec.template if isinstance(one, CronJob) else one.spec.template
