"""Every strategy there is, by its kind; the other kinds have the defaults. Pure."""

from collections.abc import Mapping
from typing import Any

from apiserver.auth.authorize import acting_gateway, acting_node
from apiserver.state.preconditions import Precondition
from apiserver.strategies.access.roles import Bindings, Roles
from apiserver.strategies.account import ServiceAccounts
from apiserver.strategies.admission.podsecurity.workloads import Workloads
from apiserver.strategies.custom.definitions import CustomResourceDefinitions
from apiserver.strategies.custom.objects import CustomObjects
from apiserver.strategies.event import Events
from apiserver.strategies.jobs.gpujob import GpuJobs, GpuSites
from apiserver.strategies.jobs.job import Jobs
from apiserver.strategies.lease import Leases, fences
from apiserver.strategies.named import Claims, Named, PersistentVolumes
from apiserver.strategies.namespace import Namespaces, takes_objects
from apiserver.strategies.node import Nodes
from apiserver.strategies.pod import Pods
from apiserver.strategies.service import Services
from apiserver.strategies.strategy import Strategy
from cubernetes.api.apiextensions.customresourcedefinition import CustomResourceDefinition
from cubernetes.api.apps.daemonset import DaemonSet
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.apps.statefulset import StatefulSet
from cubernetes.api.batch.cronjob import CronJob
from cubernetes.api.batch.job import Job
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.event import Event
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node
from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.secret import Secret
from cubernetes.api.core.service import Service
from cubernetes.api.core.serviceaccount import ServiceAccount
from cubernetes.api.cubernetes.autoscaler import AutoScaler
from cubernetes.api.custom.objects import CustomObject
from cubernetes.api.gpu.gpujob import GpuJob
from cubernetes.api.gpu.gpusite import GpuSite
from cubernetes.api.meta import Object
from cubernetes.api.rbac.clusterrole import ClusterRole
from cubernetes.api.rbac.clusterrolebinding import ClusterRoleBinding
from cubernetes.api.rbac.role import Role
from cubernetes.api.rbac.rolebinding import RoleBinding
from cubernetes.host.web.messages import Identity, Request

type Strategies = Mapping[type[Object], Strategy[Any]]

STRATEGIES: Strategies = {
    Namespace: Namespaces(),
    Node: Nodes(),
    Pod: Pods(),
    PersistentVolumeClaim: Claims(),
    PersistentVolume: PersistentVolumes(),
    Service: Services(),
    ConfigMap: Named(),
    Secret: Named(),
    ServiceAccount: ServiceAccounts(),
    Role: Roles(),
    ClusterRole: Roles(),
    RoleBinding: Bindings(),
    ClusterRoleBinding: Bindings(),
    Event: Events(),
    Lease: Leases(),
    Job: Jobs(),
    CronJob: Workloads(),
    Deployment: Workloads(),
    ReplicaSet: Workloads(),
    StatefulSet: Workloads(),
    DaemonSet: Workloads(),
    AutoScaler: Workloads(),
    GpuJob: GpuJobs(),
    GpuSite: GpuSites(),
    CustomResourceDefinition: CustomResourceDefinitions(),
    CustomObject: CustomObjects(),
}
DEFAULT: Strategy[Any] = Strategy()


def strategy_of(kind: type[Object], strategies: Strategies = STRATEGIES) -> Strategy[Any]:
    """Return what a kind asks for; another model of a kind has the answers of the kind."""
    return next((strategies[one] for one in kind.__mro__ if one in strategies), DEFAULT)


def write_preconditions(request: Request) -> tuple[Precondition, ...]:
    """Return what must hold at the moment of any write.

    Raises: BadRequest: the request states it in no form that is known.
    """
    return fences(request)


def creation_preconditions(request: Request, namespace: str) -> tuple[Precondition, ...]:
    """Return what must hold at the moment of a creation.

    Raises: BadRequest.
    """
    place = (takes_objects(namespace),) if namespace else ()
    return (*fences(request), *place)


def object_refusal(
    strategy: Strategy[Any],
    identity: Identity,
    subresource: str,
    old: Object | None,
    new: Object,
) -> str:
    """Return why a write is refused for what is in it; empty where it is allowed.

    `may` has allowed the verb already, by what memory showed of the object. This is asked within
    the transaction, of what the store has there: also for rights that end at an object's fields.
    """
    if node := acting_node(identity):
        return strategy.node_refusal(node, subresource, old, new)
    if node := acting_gateway(identity):
        return strategy.gateway_refusal(node, old, new)
    return ""
