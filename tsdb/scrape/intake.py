"""From a scraped text to appended samples, and markers for series that went away."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tsdb.columns.labels import NAME, Key
from tsdb.errors import BadData
from tsdb.ingest import Ingest, IngestResult
from tsdb.scrape.targets import Target, labelled
from tsdb.settings import ScrapeJob
from tsdb.steps import Steps, mapped
from tsdb.storage.store import Store
from tsdb.wire.exposition import Exposition, series_pairs

SERIES_PER_PAUSE = 200
STALE = float(np.array([0x7FF0000000000002], np.uint64).view(np.float64)[0])


@dataclass
class Remembered:
    """What a target said last time: the numbers of its series, by their text."""

    ref_of: dict[str, int] = field(default_factory=dict)
    # Only series without timestamps of their own become stale.
    living: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Report:
    """How a scrape went, for the series about it."""

    is_up: bool
    duration_s: float
    samples: int = 0
    added: int = 0


class Intake:
    """Appends what one target says. One for each target."""

    def __init__(
        self,
        store: Store,
        ingest: Ingest,
        job: ScrapeJob,
        target: Target,
        now_ms: Callable[[], int],
    ) -> None:
        self._store, self._ingest, self._job, self._target = store, ingest, job, target
        self._now_ms = now_ms
        self._before = Remembered()

    def take(self, found: Exposition, at_ms: int) -> Steps[int]:
        """Append the samples of one answer; return how many series are new since the last.

        Raises:
            BadData, LimitExceeded, Overloaded, DiskRefused: nothing of this answer was taken.
        """
        refs = yield from self._refs(found.series)
        honored = found.times if self._job.honor_timestamps else [None] * len(found.times)
        times = [at_ms if at is None else at for at in honored]
        living = {ref for ref, at in zip(refs, honored, strict=True) if at is None}
        gone = sorted(self._before.living - living)
        self._append(
            [*refs, *gone],
            [*times, *([at_ms] * len(gone))],
            [*found.values, *([STALE] * len(gone))],
        )
        added = len(living - self._before.living)
        self._before.ref_of = dict(zip(found.series, refs, strict=True))
        self._before.living = living
        self._ingest.describe(found.metadata.values())
        return added

    def _refs(self, series: Sequence[str]) -> Steps[list[int]]:
        known = self._before.ref_of
        refs = [known.get(text, -1) for text in series]
        if refs and min(refs) >= 0 and (self._store.head.rows_of(np.array(refs)) >= 0).all():
            return refs
        # Some series is new, or was forgotten meanwhile: look all of them up by their labels.
        keys = yield from mapped(self._key, series, SERIES_PER_PAUSE)
        taken = IngestResult()
        found = yield from self._ingest.refs(keys, taken)
        refs = [ref for ref in found if ref is not None]
        if len(refs) < len(found):
            raise BadData(taken.story())
        return refs

    def _key(self, text: str) -> Key:
        honor = self._job.honor_labels
        pairs = series_pairs(text, self._store.limits)
        return self._ingest.key(labelled(pairs, self._target.labels, honor_labels=honor))

    def end(self, at_ms: int) -> None:
        """Mark every series of the target as stale: it did not answer, or is gone."""
        gone = sorted(self._before.living)
        self._before = Remembered(ref_of=self._before.ref_of)
        self._append(gone, [at_ms] * len(gone), [STALE] * len(gone))

    def report(self, report: Report, at_ms: int) -> None:
        """Append the series about the scrape itself."""
        values = {
            "up": float(report.is_up),
            "scrape_duration_seconds": report.duration_s,
            "scrape_samples_scraped": float(report.samples),
            "scrape_samples_post_metric_relabeling": float(report.samples),
            "scrape_series_added": float(report.added),
        }
        self._append(self._about(list(values)), [at_ms] * 5, list(values.values()))

    def retire(self, at_ms: int) -> None:
        """Mark everything as stale, also the series about the scrape: the target is no more."""
        self.end(at_ms)
        names = ["up", "scrape_duration_seconds", "scrape_samples_scraped"]
        names += ["scrape_samples_post_metric_relabeling", "scrape_series_added"]
        self._append(self._about(names), [at_ms] * 5, [STALE] * 5)

    def _about(self, names: Sequence[str]) -> list[int]:
        labels = self._target.labels
        return [self._store.ref(self._ingest.key([(NAME, name), *labels])) for name in names]

    def _append(self, refs: Sequence[int], times: Sequence[int], values: Sequence[float]) -> None:
        if refs:
            self._ingest.take_columns(refs, times, values, self._now_ms())
