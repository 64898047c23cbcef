"""Every kind there is: routes, storage, watches, client, CLI and example tests come from here."""

from cubernetes.api.apiextensions.customresourcedefinition import CustomResourceDefinition
from cubernetes.api.apps.controllerrevision import ControllerRevision
from cubernetes.api.apps.daemonset import DaemonSet
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.apps.statefulset import StatefulSet
from cubernetes.api.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from cubernetes.api.batch.cronjob import CronJob
from cubernetes.api.batch.job import Job
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.event import Event
from cubernetes.api.core.limitrange import LimitRange
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node
from cubernetes.api.core.persistentvolume import PersistentVolume
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.resourcequota import ResourceQuota
from cubernetes.api.core.secret import Secret
from cubernetes.api.core.service import Service
from cubernetes.api.core.serviceaccount import ServiceAccount
from cubernetes.api.cubernetes.autoscaler import AutoScaler
from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.cubernetes.routepolicy import RoutePolicy
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.gpu.gpujob import GpuJob
from cubernetes.api.gpu.gpuqueue import GpuQueue
from cubernetes.api.gpu.gpusite import GpuSite
from cubernetes.api.kinds import Kinds
from cubernetes.api.networking.ingress import Ingress
from cubernetes.api.networking.ingressclass import IngressClass
from cubernetes.api.policy.poddisruptionbudget import PodDisruptionBudget
from cubernetes.api.rbac.clusterrole import ClusterRole
from cubernetes.api.rbac.clusterrolebinding import ClusterRoleBinding
from cubernetes.api.rbac.role import Role
from cubernetes.api.rbac.rolebinding import RoleBinding
from cubernetes.api.scheduling.priorityclass import PriorityClass
from cubernetes.api.serverless.function import Function
from cubernetes.api.serverless.functionrevision import FunctionRevision
from cubernetes.api.serverless.route import Route
from cubernetes.api.serverless.trigger import Trigger
from cubernetes.api.serverless.workflow import Workflow
from cubernetes.api.storage.storageclass import StorageClass

KINDS = Kinds(
    Namespace,
    Node,
    Pod,
    Service,
    EndpointSlice,
    ReplicaSet,
    Deployment,
    StatefulSet,
    DaemonSet,
    ControllerRevision,
    PodDisruptionBudget,
    Job,
    CronJob,
    PriorityClass,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    Event,
    Lease,
    ConfigMap,
    Secret,
    ServiceAccount,
    Role,
    RoleBinding,
    ClusterRole,
    ClusterRoleBinding,
    ResourceQuota,
    LimitRange,
    Ingress,
    IngressClass,
    Function,
    FunctionRevision,
    Route,
    GpuJob,
    GpuSite,
    GpuQueue,
    Trigger,
    Workflow,
    Dns,
    AutoScaler,
    RoutePolicy,
    HorizontalPodAutoscaler,
    CustomResourceDefinition,
)
