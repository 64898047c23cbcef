"""How a store treats its samples: spans of time and space, apart from the limits by count."""

from cubernetes.host.settings import Settings


class Options(Settings, frozen=True, kw_only=True):
    """Spans of time in seconds, sizes in bytes. The defaults of the spans are Prometheus'."""

    block_span_s: float = 7200.0
    retention_s: float = 15 * 86_400.0
    # 0: as much as the disk has.
    retention_bytes: int = 0
    # So much log, or as much as the last checkpoint if that is more, is followed by another
    # checkpoint: a restart reads 8 MiB (some 3.5 million samples) in 0.3 s.
    checkpoint_bytes: int = 8 * 2**20
    # How much older than its series' newest sample a sample may be.
    out_of_order_s: float = 600.0
    # How far before the clock a sample may be.
    future_s: float = 600.0
    # The largest span that blocks are merged to.
    compacted_span_s: float = 36 * 3600.0
