"""The program of GPU jobs, where it is enabled. Pure."""

from cuberoot.program import (
    CLUSTER,
    Certificate,
    Identity,
    Machine,
    Metrics,
    Program,
    Site,
    client_for,
)
from gpu.settings import GpuSettings

METRICS_PORT = 10261


def settings(site: Site) -> GpuSettings:
    return GpuSettings(client=client_for("gpu", site.cluster), metrics_port=METRICS_PORT)


def _client(_: Machine) -> Identity:
    return Identity("system:gpu")


PROGRAM = Program(
    name="gpu",
    place="control-plane",
    settings=settings,
    certificates=(Certificate("gpu", CLUSTER, _client),),
    after=("apiserver",),
    metrics=Metrics(METRICS_PORT),
    is_optional=True,
)
