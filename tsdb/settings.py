"""The settings of `python -m tsdb`: one JSON file, units in the names, defaults in sight."""

from cubernetes.host.settings import Settings
from tsdb.limits import Limits
from tsdb.options import Options


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
