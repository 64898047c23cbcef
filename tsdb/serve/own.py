"""The store's own /metrics, as text that promtool finds nothing to say about."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tsdb.faults import Faults
from tsdb.promql.text import number_text
from tsdb.remote.reading import RemoteReader
from tsdb.remote.writing import RemoteWriter
from tsdb.serve.queries import Queries
from tsdb.storage.store import Store


@dataclass(frozen=True)
class Metric:
    """One family: values by the labels in front of them."""

    name: str
    kind: str
    help: str
    values: Mapping[str, float]


def _plain(name: str, kind: str, told: str, value: float) -> Metric:
    return Metric(name, kind, told, {"": value})


def own_metrics(
    store: Store, queries: Queries, faults: Faults, refusals_in_a_row: int
) -> Iterator[Metric]:
    """Yield what the store knows of itself. Counters begin at 0 with every start."""
    counters = store.counters
    yield Metric(
        "cube_tsdb_samples_total",
        "counter",
        "Samples by what became of them.",
        {f'{{outcome="{name}"}}': count for name, count in vars(counters.outcome).items()},
    )
    yield Metric(
        "cube_tsdb_faults_total",
        "counter",
        "Faults that the last catch of a loop has met: each is a bug.",
        {f'{{loop="{loop}"}}': count for loop, count in sorted(faults.count_by_loop.items())},
    )
    yield from _gauges(store, queries, refusals_in_a_row)
    totals = {
        "cube_tsdb_log_syncs_total": ("Syncs of the log.", counters.syncs),
        "cube_tsdb_disk_refusals_total": ("Writes that the disk refused.", counters.disk_refusals),
        "cube_tsdb_blocks_written_total": ("Blocks written from memory.", counters.blocks_written),
        "cube_tsdb_merges_total": ("Blocks written by merging.", counters.merges),
        "cube_tsdb_checkpoints_total": ("Checkpoints of the log.", counters.checkpoints),
        "cube_tsdb_log_corruptions_total": (
            "Damaged places found in the log at the start.",
            counters.log_damage.places,
        ),
        "cube_tsdb_corrupt_blocks_total": (
            "Blocks set aside at the start.",
            counters.corrupt_blocks,
        ),
        "cube_tsdb_damaged_strips_total": (
            "Reads that met damaged bytes in a block.",
            sum(block.damaged_strips for block in store.blocks),
        ),
        "cube_tsdb_orphan_samples_total": (
            "Samples of the log whose series was lost with a damaged record.",
            counters.replayed.orphans,
        ),
        "cube_tsdb_queries_total": ("Queries that were answered.", queries.answered),
        "cube_tsdb_queries_refused_total": (
            "Queries sent away because too many waited.",
            queries.gate.refused,
        ),
    }
    for name, (told, value) in sorted(totals.items()):
        yield _plain(name, "counter", told, value)


def _gauges(store: Store, queries: Queries, refusals_in_a_row: int) -> Iterator[Metric]:
    gauges = {
        "cube_tsdb_head_series": ("Series in memory.", len(store.head)),
        "cube_tsdb_head_strip_bytes": (
            "Bytes of coded samples in memory.",
            store.head.size_bytes(),
        ),
        "cube_tsdb_head_late_samples": ("Late samples not yet coded.", store.head.late_count),
        "cube_tsdb_blocks": ("Blocks on disk.", len(store.blocks)),
        "cube_tsdb_disk_bytes": ("Bytes of blocks and log.", store.size_bytes()),
        "cube_tsdb_strip_cache_bytes": ("Bytes of decoded strips.", store.head.cache.size_bytes),
        "cube_tsdb_queries_running": ("Queries that are being worked out.", queries.gate.running),
        "cube_tsdb_queries_waiting": ("Queries that wait for a place.", queries.gate.waiting),
        "cube_tsdb_is_writable": ("1 while the log takes writes.", float(not store.wal.broken)),
        "cube_tsdb_upkeep_refusals_in_a_row": (
            "How often in a row the disk refused upkeep.",
            refusals_in_a_row,
        ),
    }
    for name, (told, value) in sorted(gauges.items()):
        yield _plain(name, "gauge", told, value)


@dataclass(frozen=True)
class Remote:
    """The other engines that samples are sent to, and the one that old ones are asked of."""

    writers: Sequence[RemoteWriter]
    reader: RemoteReader | None

    def metrics(self) -> Iterator[Metric]:
        """Yield how many samples went and wait, and how many queries were handed on."""
        if self.writers:
            totals = ("sent", "refused", "dropped")
            counts = {
                f'{{engine="{number}",outcome="{name}"}}': count
                for number, one in enumerate(self.writers)
                for name, count in zip(
                    totals, (one.sent, one.refused, one.queue.dropped), strict=True
                )
            }
            yield Metric(
                "cube_tsdb_remote_samples_total",
                "counter",
                "Samples for other engines by what became of them.",
                counts,
            )
            yield Metric(
                "cube_tsdb_remote_waiting_samples",
                "gauge",
                "Samples that wait for other engines.",
                {f'{{engine="{number}"}}': one.waiting for number, one in enumerate(self.writers)},
            )
            yield Metric(
                "cube_tsdb_remote_waiting_bytes",
                "gauge",
                "Memory that samples for other engines take while they wait.",
                {
                    f'{{engine="{number}"}}': one.queue.held_bytes
                    for number, one in enumerate(self.writers)
                },
            )
        if self.reader is not None:
            yield Metric(
                "cube_tsdb_remote_queries_total",
                "counter",
                "Queries handed on to another engine by how they ended.",
                {
                    '{outcome="answered"}': self.reader.answered,
                    '{outcome="failed"}': self.reader.failed,
                },
            )


def exposition(metrics: Iterable[Metric]) -> bytes:
    """Return families in the text format, version 0.0.4."""
    lines: list[str] = []
    for metric in metrics:
        lines.append(f"# HELP {metric.name} {metric.help}")
        lines.append(f"# TYPE {metric.name} {metric.kind}")
        lines += [f"{metric.name}{labels} {number_text(v)}" for labels, v in metric.values.items()]
    return "\n".join([*lines, ""]).encode()
