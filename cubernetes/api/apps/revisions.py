"""Labels and annotations by which a Deployment and its ReplicaSets tell revisions apart."""

from cubernetes.api.patches.threeway import LAST_APPLIED

HASH_LABEL = "pod-template-hash"
PREFIX = "deployment.kubernetes.io/"
REVISION = PREFIX + "revision"
HISTORY = PREFIX + "revision-history"
DESIRED, MAX = PREFIX + "desired-replicas", PREFIX + "max-replicas"
CHANGE_CAUSE = "kubernetes.io/change-cause"
# On a ReplicaSet: a rollout of its template has once come to its end.
WAS_AVAILABLE = "cubernetes.io/was-available"
# What a Deployment and its ReplicaSets do not take over from each other.
KEPT_APART = frozenset({LAST_APPLIED, REVISION, HISTORY, DESIRED, MAX, WAS_AVAILABLE})
