"""Every way into the store but the in-process one: requests and texts become appended columns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tsdb.columns.labels import Key, check_labels, is_metric_name, key_of
from tsdb.errors import BadData, Overloaded, TsdbError
from tsdb.steps import Steps, finished
from tsdb.storage.store import Outcome, Store
from tsdb.wire.remote import FreshSeries, Metadata, decode

METRICS_DESCRIBED_MAX = 20_000
METRIC_CHARS_MAX, HELP_CHARS_MAX = 256, 1024
COMPLAINTS_TOLD = 5
SERIES_PER_PAUSE = 200


@dataclass
class IngestResult:
    """What became of a request. Complaints are sent to its client."""

    outcome: Outcome = field(default_factory=Outcome)
    complaints: list[str] = field(default_factory=list)
    over_limit: bool = False

    def complain(self, error: TsdbError) -> None:
        self.over_limit |= isinstance(error, Overloaded)
        if len(self.complaints) < COMPLAINTS_TOLD:
            self.complaints.append(str(error))

    @property
    def is_whole(self) -> bool:
        return not self.complaints and not self.outcome.refused

    def story(self) -> str:
        """Return what was refused and why."""
        counts = ", ".join(
            f"{name} {count}"
            for name, count in vars(self.outcome).items()
            if count and name not in ("accepted", "known")
        )
        return "; ".join(filter(None, [counts, *self.complaints]))


class Ingest:
    """Appends requests to a store, and keeps what is said about metrics."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.metadata: dict[str, Metadata] = {}

    def key(self, pairs: Iterable[tuple[str, str]]) -> Key:
        """Return the key of labels from outside.

        Raises:
            BadData, LimitExceeded: they are wrong, too many or too long.
        """
        try:
            return key_of(check_labels(pairs, self._store.limits))
        except UnicodeEncodeError as error:
            raise BadData("a label value is not text") from error

    def describe(self, found: Iterable[Metadata]) -> None:
        """Keep what is said about metrics, of so many of them and so much of each."""
        for one in found:
            if not is_metric_name(one.metric) or len(one.metric) > METRIC_CHARS_MAX:
                continue
            if one.metric in self.metadata or len(self.metadata) < METRICS_DESCRIBED_MAX:
                told, unit = one.help[:HELP_CHARS_MAX], one.unit[:HELP_CHARS_MAX]
                self.metadata[one.metric] = Metadata(one.metric, one.kind, told, unit)

    def write(self, data: bytes, now_ms: int) -> Steps[IngestResult]:
        """Append what a remote write request says. A wrong series costs itself, not the request.

        Raises:
            BadData: the bytes are no request; nothing was taken.
            LimitExceeded: more samples or fields than a request may have; nothing was taken.
            DiskRefused: the log cannot be written; nothing was taken.
        """
        head, limits = self._store.head, self._store.limits
        forgotten_count = head.forgotten_count
        request = yield from decode(data, head.ref_of, limits)
        taken = IngestResult()
        fresh = yield from self._known(request.fresh, taken)
        if head.forgotten_count != forgotten_count:
            # A block was written meanwhile, and series that the request was read with are gone.
            taken = IngestResult()
            request = finished(decode(data, head.ref_of, limits))
            fresh = finished(self._known(request.fresh, taken))
        for error in request.complaints:
            taken.complain(error)
        taken.outcome.bad_series += request.refused_samples
        if request.histograms:
            taken.complain(BadData(f"{request.histograms} native histograms are not supported"))
        refs, times, values = [request.refs], [request.times], [request.values]
        for ref, one in fresh:
            refs.append(np.full(len(one.times), ref, np.int64))
            times.append(np.array(one.times, np.int64))
            values.append(np.array(one.values, np.float64))
        outcome = self._store.append(
            np.concatenate(refs), np.concatenate(times), np.concatenate(values), now_ms
        )
        self.describe(request.metadata)
        self._store.counters.outcome.add(taken.outcome)
        taken.outcome.add(outcome)
        return taken

    def _known(
        self, fresh: Sequence[FreshSeries], taken: IngestResult
    ) -> Steps[list[tuple[int, FreshSeries]]]:
        """Return the number of each new series that is right; taken hears of the others."""
        keys: list[tuple[Key, FreshSeries]] = []
        for number, one in enumerate(fresh):
            if number % SERIES_PER_PAUSE == 0:
                yield
            try:
                keys.append((self.key(one.pairs), one))
            except TsdbError as error:
                taken.complain(error)
                taken.outcome.bad_series += len(one.times)
        refs = yield from self.refs([key for key, _ in keys], taken)
        known = zip(refs, keys, strict=True)
        return [(ref, one) for ref, (_, one) in known if ref is not None]

    def refs(self, keys: Sequence[Key], taken: IngestResult) -> Steps[list[int | None]]:
        """Return the number of each series, None where there is no room; pauses before the last.

        What is made before a pause may be forgotten in it: all are looked up again behind it.
        """
        for number, key in enumerate(keys):
            if number % SERIES_PER_PAUSE == 0:
                yield
            self._ref(key, None)
        return [self._ref(key, taken) for key in keys]

    def _ref(self, key: Key, taken: IngestResult | None) -> int | None:
        try:
            return self._store.ref(key)
        except Overloaded as error:
            if taken is not None:
                taken.complain(error)
                taken.outcome.no_room += 1
            return None

    def take_columns(
        self, refs: Sequence[int], times: Sequence[int], values: Sequence[float], now_ms: int
    ) -> Outcome:
        """Append samples given as lists of equal length."""
        return self._store.append(
            np.array(refs, np.int64),
            np.array(times, np.int64),
            np.array(values, np.float64),
            now_ms,
        )
