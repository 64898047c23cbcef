"""The scheduler. Pure."""

from cuberoot.program import (
    CLUSTER,
    Certificate,
    Identity,
    Metrics,
    Program,
    Site,
    client_for,
)
from scheduler.settings import SchedulerSettings

# The numbers that Kubernetes' programs have for their metrics; so for the others.
METRICS_PORT = 10259


def settings(site: Site) -> SchedulerSettings:
    client = client_for("scheduler", site.cluster)
    return SchedulerSettings(client=client, metrics_port=METRICS_PORT)


PROGRAM = Program(
    name="scheduler",
    place="control-plane",
    settings=settings,
    certificates=(Certificate("scheduler", CLUSTER, lambda _: Identity("system:scheduler")),),
    after=("apiserver",),
    metrics=Metrics(METRICS_PORT),
)
