"""Every view there is: its routes, discovery, documents and caches come from here."""

from collections.abc import Collection, Mapping

from apiserver.state.view import ViewMaker, Wording
from apiserver.views import components
from apiserver.views.endpoints import EndpointsView
from apiserver.views.events import EventView
from apiserver.views.eventwords import EVENT_WORDING
from apiserver.views.scalers import SCALER_WORDING, ScalerView
from cubernetes.api.authentication.selfsubjectreview import SelfSubjectReview
from cubernetes.api.authentication.tokenreview import TokenReview
from cubernetes.api.authorization.reviews import (
    LocalSubjectAccessReview,
    SelfSubjectAccessReview,
    SelfSubjectRulesReview,
    SubjectAccessReview,
)
from cubernetes.api.autoscaling.older import HorizontalPodAutoscalerV1
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod
from cubernetes.api.events.event import Event as NewerEvent
from cubernetes.api.meta import Object
from cubernetes.api.metrics.use import NodeMetrics, PodMetrics

VIEWS: tuple[ViewMaker, ...] = (EndpointsView, EventView, ScalerView)

# The views that are written too; the others are read only.
WORDINGS: Mapping[type[Object], Wording] = {
    NewerEvent: EVENT_WORDING,
    HorizontalPodAutoscalerV1: SCALER_WORDING,
}

# What nodes and pods use: asked of the kubelets.
USED: tuple[type[Object], ...] = (NodeMetrics, PodMetrics)

# Questions that are answered and not kept.
REVIEWS: tuple[type[Object], ...] = (
    TokenReview,
    SelfSubjectReview,
    SubjectAccessReview,
    LocalSubjectAccessReview,
    SelfSubjectAccessReview,
    SelfSubjectRulesReview,
)


def kinds_shown(stored: Collection[type[Object]]) -> tuple[type[Object], ...]:
    """Return the kinds that are not stored: of views whose sources are all stored, and of parts."""
    views = [make() for make in VIEWS]
    shown = [one.kind for one in views if all(each in stored for each in one.sources)]
    is_core_served = any(not kind.resource.group for kind in stored)
    parts: tuple[type[Object], ...] = (components.KIND, *REVIEWS) if is_core_served else ()
    used = USED if Node in stored and Pod in stored else ()
    return (*shown, *parts, *used)
