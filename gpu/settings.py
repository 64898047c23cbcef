"""What the program of GPU jobs must be told."""

from cubernetes.client.connect import ClientSettings
from cubernetes.host.settings import Settings


class GpuSettings(Settings, frozen=True, kw_only=True):
    """client: how to reach the API server."""

    client: ClientSettings
    # The lease that one of several instances holds; empty where there is only ever one.
    lease: str = "gpu"
    # A C++ compiler and a shell: where jobs of stand-ins run.
    stand_in_image: str = "cubernetes/gpu-stand-in:1"
    # What is kept of each output of a job at a site of Slurm.
    output_bytes_max: int = 64 << 20
    # How often everything is looked at where nothing has changed.
    look_interval_s: float = 5.0
    # How often a site is asked that does not tell of news by itself, and how long it may take.
    ask_interval_s: float = 5.0
    ask_deadline_s: float = 30.0
    # Writes and requests to sites that are under way at once.
    hands_max: int = 32
    # Where outputs of jobs are told, on the loopback, and the certificate of gpu.cubernetes; they
    # are not without one. client_name: who may ask.
    output_port: int = 0
    cert: str = ""
    key: str = ""
    client_ca: str = ""
    client_name: str = "system:apiserver"
    # /metrics and /livez on the loopback; 0 serves none.
    metrics_port: int = 0
