"""Every limit of the store, by name: over one of them is a clear error, never memory."""

from cubernetes.host.settings import Settings


class Limits(Settings, frozen=True, kw_only=True):
    """Counts, characters, seconds and bytes; the defaults suit a cluster of some hundred nodes."""

    series: int = 1_000_000
    labels_per_series: int = 40
    label_name_length: int = 256
    label_value_length: int = 4096
    samples_per_request: int = 1_000_000
    fields_per_request: int = 4_000_000
    request_bytes: int = 32 * 2**20
    requests_bytes: int = 128 * 2**20
    out_of_order_samples: int = 1_000_000
    query_length: int = 32_768
    query_depth: int = 64
    query_patterns: int = 100
    query_range_s: float = 400 * 86_400.0
    query_steps: int = 11_000
    query_series: int = 200_000
    query_samples: int = 20_000_000
    query_timeout_s: float = 30.0
    queries_at_once: int = 16
    queries_waiting: int = 64
    names_in_answer: int = 100_000
    strip_cache_bytes: int = 32 * 2**20
