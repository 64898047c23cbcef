"""The controllers. Pure."""

from controllers.settings import ControllersSettings
from cuberoot.program import (
    CLUSTER,
    Certificate,
    Identity,
    Metrics,
    Program,
    Site,
    client_for,
)
from cuberoot.programs import tsdb

METRICS_PORT = 10257


def settings(site: Site) -> ControllersSettings:
    return ControllersSettings(
        client=client_for("controllers", site.cluster),
        pod_range=site.cluster.pod_range,
        # Where the node runs the time-series store, planners that ask for metrics get them of it.
        metrics_url=tsdb.URL if tsdb.PROGRAM in site.here else "",
        load_balancer_pool=site.cluster.load_balancer_pool,
        metrics_port=METRICS_PORT,
    )


PROGRAM = Program(
    name="controllers",
    place="control-plane",
    settings=settings,
    certificates=(Certificate("controllers", CLUSTER, lambda _: Identity("system:controllers")),),
    after=("apiserver",),
    metrics=Metrics(METRICS_PORT),
)
