"""The verbs on workloads and nodes, one after the other, as people type them; and what is said.

A cluster without kubelets will do: what is looked at is whether a client's words arrive. Each line
runs as it stands, by kubectl and by cubectl, and must end well; what it says must have the words
behind it. `{ns}` is the namespace, `{node}` a node of the walk's own.
"""

from typing import NamedTuple

SETS = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: main, image: "busybox:1"}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: main, image: "busybox:1"}]}
"""
REVISION = r"{.metadata.annotations.deployment\.kubernetes\.io/revision}"
TTL = r"{.metadata.annotations.node\.alpha\.kubernetes\.io/ttl}"
IMAGE = "{.spec.template.spec.containers[0].image}"


class Step(NamedTuple):
    """A command line, and words that it says.

    is_awaited: said anew until it says them, since a controller has to do something first.
    """

    line: str
    words: str
    is_awaited: bool = False


def _revision(number: int) -> Step:
    return Step(f"wait --for=jsonpath={REVISION}={number} deployment/web --timeout=100s", "met")


def _listed(number: int, what: str) -> Step:
    """Wait until a set's revision is there to go back to: its controller writes it down."""
    return Step(f"rollout history {what}", f"\n{number} ", is_awaited=True)


STEPS = (
    Step("create deployment web --image=busybox:1 --replicas=2", "deployment.apps/web created"),
    _revision(1),
    Step("rollout status deployment/web --watch=false", "finish: 0 of 2 updated", is_awaited=True),
    Step("set image deployment/web busybox=busybox:2", "image updated"),
    Step("annotate deployment web kubernetes.io/change-cause=second", "annotated"),
    _revision(2),
    # The note reaches the revision after its number does.
    Step("rollout history deployment/web", "second", is_awaited=True),
    Step("rollout history deployment/web --revision=1", "busybox:1"),
    Step("rollout undo deployment/web --to-revision=1", "deployment.apps/web rolled back"),
    _revision(3),
    Step(f"get deployment web -o jsonpath={IMAGE}", "busybox:1"),
    Step("rollout pause deployment/web", "deployment.apps/web paused"),
    Step("rollout resume deployment/web", "deployment.apps/web resumed"),
    Step("rollout restart deployment/web", "deployment.apps/web restarted"),
    _revision(4),
    Step("set resources deployment web --requests=cpu=10m", "resource requirements updated"),
    Step("set env deployment/web TIER=front", "env updated"),
    Step("scale deployment/web --replicas=3", "deployment.apps/web scaled"),
    Step("autoscale deployment web --min=1 --max=3 --cpu-percent=50", "web autoscaled"),
    Step("expose deployment web --port=80 --target-port=8080", "service/web exposed"),
    Step("create pdb web --selector=app=web --min-available=1", "web created"),
    Step("create quota most --hard=pods=50", "resourcequota/most created"),
    Step("create priorityclass {ns} --value=100", "{ns} created"),
    Step("apply -f -", "statefulset.apps/db created"),
    _listed(1, "statefulset/db"),
    _listed(1, "daemonset/agent"),
    Step("rollout restart statefulset/db daemonset/agent", "daemonset.apps/agent restarted"),
    _listed(2, "statefulset/db"),
    _listed(2, "daemonset/agent"),
    Step("rollout undo statefulset/db", "statefulset.apps/db rolled back"),
    Step("rollout undo daemonset/agent", "daemonset.apps/agent rolled back"),
    Step("create cronjob tick --image=busybox:1 --schedule=@yearly", "cronjob.batch/tick created"),
    Step("create job now --from=cronjob/tick", "job.batch/now created"),
    Step("create job once --image=busybox:1 -- true", "job.batch/once created"),
    Step("cordon {node}", "node/{node} cordoned"),
    Step("uncordon {node}", "node/{node} uncordoned"),
    Step("taint nodes {node} gpu=yes:NoSchedule", "node/{node} tainted"),
    Step("drain {node} --ignore-daemonsets", "node/{node} drained"),
    Step(f"get node {{node}} -o jsonpath={TTL}", "0", is_awaited=True),
    Step("delete node {node}", "deleted"),
    Step("delete deployment web --cascade=foreground", "deleted"),
)  # fmt: skip
