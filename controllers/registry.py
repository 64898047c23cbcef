"""Every controller there is, each made from the settings."""

from collections.abc import Callable
from ipaddress import IPv4Network

from controllers.access.accounts import Accounts
from controllers.access.roles import GatheredRoles
from controllers.autoscaling.bands import AutoScalers
from controllers.autoscaling.hpa import HorizontalPodAutoscalers
from controllers.cleanup.events import OldEvents
from controllers.cleanup.finishedpods import FinishedPods
from controllers.cleanup.garbage import Garbage
from controllers.cleanup.namespaces import Namespaces
from controllers.deployments.contents import ContentRestarts
from controllers.deployments.deployments import Deployments
from controllers.disruption.budgets import Budgets
from controllers.disruption.rebalance import Rebalance
from controllers.endpoints import Endpoints
from controllers.jobs.cronjobs import CronJobs
from controllers.jobs.jobs import Jobs
from controllers.loadbalancers import LoadBalancers
from controllers.nodes.podcidr import PodCidrs
from controllers.nodes.pressures import PressureTaints
from controllers.nodes.silence import Nodes, Timing
from controllers.nodes.taints import Taints
from controllers.nodes.ttl import NodeTtls
from controllers.quotas import Quotas
from controllers.replicaset import ReplicaSets
from controllers.roads import RoadStatuses
from controllers.routes import Routes
from controllers.sets.daemonsets import DaemonSets
from controllers.sets.statefulsets import StatefulSets
from controllers.settings import ControllersSettings
from controllers.volumes.volumes import Volumes
from cubernetes.api.addresspool import pool_of
from cubernetes.reconcile.plan import Planner


def _nodes(settings: ControllersSettings) -> Planner:
    timing = Timing(
        silent_after_s=settings.node_silent_after_s,
        evict_after_s=settings.node_evict_after_s,
        evict_bare_after_s=settings.node_evict_bare_after_s,
        steady_s=settings.node_steady_s,
    )
    return Nodes(timing)


def _pod_cidrs(settings: ControllersSettings) -> Planner:
    return PodCidrs(IPv4Network(settings.pod_range), settings.node_prefix_length)


def _load_balancers(settings: ControllersSettings) -> Planner:
    return LoadBalancers(pool_of(settings.load_balancer_pool))


CONTROLLERS: tuple[Callable[[ControllersSettings], Planner], ...] = (
    lambda _: Deployments(),
    lambda _: ContentRestarts(),
    lambda _: ReplicaSets(),
    lambda _: StatefulSets(),
    lambda _: DaemonSets(),
    lambda _: Budgets(),
    lambda settings: Rebalance(settings.rebalance_steady_s),
    lambda _: Quotas(),
    lambda settings: Accounts(settings.root_ca),
    lambda _: HorizontalPodAutoscalers(),
    lambda _: AutoScalers(),
    lambda _: Jobs(),
    lambda _: CronJobs(),
    lambda _: Endpoints(),
    lambda _: RoadStatuses(),
    lambda _: Routes(),
    _load_balancers,
    _nodes,
    lambda _: Taints(),
    lambda _: PressureTaints(),
    lambda _: Volumes(),
    _pod_cidrs,
    lambda _: NodeTtls(),
    lambda _: GatheredRoles(),
    lambda _: Garbage(),
    lambda _: Namespaces(),
    lambda settings: OldEvents(settings.event_keep_s),
    lambda settings: FinishedPods(settings.finished_pods_max),
)
