"""The settings of `python -m tsdb`: one JSON file, units in the names, defaults in sight."""

from typing import Annotated

from msgspec import Meta

from cubernetes.host.settings import Settings
from tsdb.limits import Limits
from tsdb.options import Options

type HttpUrl = Annotated[str, Meta(pattern=r"^https?://[^/?#\s@]+(/[^?#\s]*)?$", max_length=2048)]
type Positive = Annotated[int, Meta(gt=0)]
type Seconds = Annotated[float, Meta(gt=0)]


class TlsSettings(Settings, frozen=True, kw_only=True):
    """PEM files. With a client_ca, only clients that it signed are served."""

    certificate: str
    key: str
    client_ca: str = ""


class TargetGroup(Settings, frozen=True, kw_only=True):
    """Addresses (host:port) and labels for all of their series."""

    targets: list[str]
    labels: dict[str, str] = {}


class ScrapeTls(Settings, frozen=True, kw_only=True):
    """How targets over https are checked, and what we show them."""

    ca: str = ""
    certificate: str = ""
    key: str = ""


class ScrapeJob(Settings, frozen=True, kw_only=True):
    """Targets that are asked for their metrics again and again, as scrape_configs has them."""

    name: str
    interval_s: float = 15.0
    timeout_s: float = 10.0
    scheme: str = "http"
    path: str = "/metrics"
    groups: list[TargetGroup] = []
    # URLs that answer a JSON list of groups (Prometheus' HTTP service discovery).
    http_sd: list[str] = []
    http_sd_interval_s: float = 30.0
    honor_labels: bool = False
    honor_timestamps: bool = True
    # Whether a target may send us to another address, which is then asked with our certificate.
    follow_redirects: bool = True
    sample_limit: int = 100_000
    body_bytes: int = 32 * 2**20
    target_limit: int = 10_000
    bearer_token_file: str = ""
    tls: ScrapeTls = ScrapeTls()


class RemoteWrite(Settings, frozen=True, kw_only=True):
    """Another engine that is sent every sample which the store takes (remote write 1.0).

    url is whole, as `https://metrics.example/api/v1/write`. At most queue_samples wait in memory,
    which take queue_bytes at most.
    """

    url: HttpUrl
    queue_samples: Positive = 2_000_000
    queue_bytes: Positive = 256 * 2**20
    samples_per_request: Positive = 5_000
    flush_s: Seconds = 1.0
    deadline_s: Seconds = 30.0
    bearer_token_file: str = ""
    tls: ScrapeTls = ScrapeTls()


class RemoteRead(Settings, frozen=True, kw_only=True):
    """Another engine that answers the queries which reach back beyond the store's own samples.

    url is what stands before `/api/v1/query`. What reaches back less than after_s is answered here
    in any case: decisions on the newest samples wait for no other engine.
    """

    url: HttpUrl
    after_s: Seconds = 3600.0
    deadline_s: Seconds = 10.0
    answer_bytes: Positive = 64 * 2**20
    bearer_token_file: str = ""
    tls: ScrapeTls = ScrapeTls()


class Chosen(Settings, frozen=True, kw_only=True):
    """What an operator may choose of the store of a cluster; the rest follows from the node."""

    limits: Limits = Limits()
    options: Options = Options()
    remote_write: list[RemoteWrite] = []
    remote_read: RemoteRead | None = None


class TsdbSettings(Settings, frozen=True, kw_only=True):
    """Everything that an operator may choose."""

    data_dir: str
    host: str = "127.0.0.1"
    port: int = 9090
    tls: TlsSettings | None = None
    # 0: an acknowledged sample survives a power cut. More: it survives the end of the process, and
    # a power cut may take this many seconds of samples.
    fsync_interval_s: float = 0.0
    # How often is looked whether a block is due, or something to merge or to delete.
    upkeep_interval_s: float = 5.0
    stop_grace_s: float = 10.0
    lookback_s: float = 300.0
    limits: Limits = Limits()
    options: Options = Options()
    scrape: list[ScrapeJob] = []
    remote_write: list[RemoteWrite] = []
    remote_read: RemoteRead | None = None
