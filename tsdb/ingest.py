"""Every way into the store but the in-process one: requests and texts become appended columns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tsdb.errors import BadData, LimitExceeded, Overloaded, TsdbError
from tsdb.labels import Key, check_labels, key_of
from tsdb.remote import Metadata, Request
from tsdb.store import Outcome, Store

METRICS_DESCRIBED_MAX = 20_000
COMPLAINTS_TOLD = 5


@dataclass
class Taken:
    """What became of a request. Complaints are told to whoever sent it."""

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
        for one in found:
            if one.metric in self.metadata or len(self.metadata) < METRICS_DESCRIBED_MAX:
                self.metadata[one.metric] = one

    def take(self, request: Request, now_ms: int) -> Taken:
        """Append what remote write sent. A wrong series costs itself, not the request.

        Raises:
            LimitExceeded: more samples than a request may have; nothing was taken.
            DiskRefused: the log cannot be written; nothing was taken.
        """
        taken = Taken()
        total = len(request.refs) + sum(len(times) for _, times, _ in request.fresh)
        allowed = self._store.limits.samples_per_request
        if total > allowed:
            raise LimitExceeded("samples_per_request", allowed, total)
        refs, times, values = [request.refs], [request.times], [request.values]
        for pairs, some_times, some_values in request.fresh:
            try:
                ref = self._store.ref(self.key(pairs))
            except TsdbError as error:
                taken.complain(error)
                continue
            refs.append(np.full(len(some_times), ref, np.int64))
            times.append(some_times)
            values.append(some_values)
        self.describe(request.metadata)
        if request.histograms:
            taken.complain(BadData(f"{request.histograms} native histograms are not supported"))
        taken.outcome = self._store.append(
            np.concatenate(refs), np.concatenate(times), np.concatenate(values), now_ms
        )
        return taken

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
