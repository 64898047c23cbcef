"""The program of GPU jobs, where it is enabled. Pure."""

from cuberoot import layout
from cuberoot.layout import pair
from cuberoot.program import (
    CLUSTER,
    Certificate,
    Identity,
    Machine,
    Metrics,
    Port,
    Program,
    Site,
    client_for,
)
from gpu.settings import GpuSettings

METRICS_PORT = 10261
# On the loopback: where outputs of jobs at other sites are told to the API server.
OUTPUT_PORT = 10262
URL = f"https://127.0.0.1:{OUTPUT_PORT}"


def settings(site: Site) -> GpuSettings:
    serving = pair("gpu-serving")
    return GpuSettings(
        client=client_for("gpu", site.cluster),
        output_port=OUTPUT_PORT,
        cert=str(serving.cert),
        key=str(serving.key),
        client_ca=str(layout.CLUSTER_CA.cert),
        metrics_port=METRICS_PORT,
    )


def _client(_: Machine) -> Identity:
    return Identity("system:gpu")


def _serving(_: Machine) -> Identity:
    return Identity("system:gpu", (), ("gpu.cubernetes",), is_server=True, is_client=False)


PROGRAM = Program(
    name="gpu",
    place="control-plane",
    settings=settings,
    certificates=(
        Certificate("gpu", CLUSTER, _client),
        Certificate("gpu-serving", CLUSTER, _serving),
    ),
    after=("apiserver",),
    ports=(Port(OUTPUT_PORT, is_closed=True),),
    metrics=Metrics(METRICS_PORT),
    is_optional=True,
)
