"""What the scheduler must be told."""

from collections.abc import Mapping

import msgspec

from cubernetes.client.connect import ClientSettings
from cubernetes.host.settings import Settings
from cubernetes.scheduling.registry import PROFILES


class SchedulerSettings(Settings, frozen=True, kw_only=True):
    """client: how to reach the API server."""

    client: ClientSettings
    # How pods of each `schedulerName` are placed: the weights of scores by their names, which
    # cubernetes/scheduling/registry.py tells. Pods that name none of these are left to others.
    profiles: Mapping[str, Mapping[str, int]] = msgspec.field(
        default_factory=lambda: {name: dict(weights) for name, weights in PROFILES.items()}
    )
    # Bindings and status writes under way at the same time.
    write_count_max: int = 32
    # When room appears, waiting pods are tried again: no sooner than this after the last time.
    wake_pause_s: float = 0.2
    # Without any news a waiting pod is tried again after this, doubling up to the limit.
    retry_base_s: float = 10.0
    retry_limit_s: float = 300.0
    # The lease that one of several instances holds; empty where there is only ever one.
    lease: str = "scheduler"
    # /metrics and /livez on the loopback; 0 serves none.
    metrics_port: int = 0
