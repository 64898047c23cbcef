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
# What of ConfigMaps and Secrets the pods read, as a digest: noted on a Deployment, and written into
# its template when it has changed.
READ_CONTENT = "cubernetes.io/read-content"
# What a Deployment and its ReplicaSets do not take over from each other.
KEPT_APART = frozenset({LAST_APPLIED, REVISION, HISTORY, DESIRED, MAX, WAS_AVAILABLE, READ_CONTENT})
