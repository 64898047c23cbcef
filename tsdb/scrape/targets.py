"""What is to be scraped: from groups of addresses to targets. Decisions only."""

import asyncio
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from tsdb.columns.labels import Pairs, is_label_name
from tsdb.errors import BadData, LimitExceeded
from tsdb.limits import Limits
from tsdb.promql.lexer import duration_ms
from tsdb.settings import ScrapeJob, TargetGroup

RESERVED, INTERVAL = "__", "__scrape_interval__"
INTERVAL_MS_MIN = 100
ADDRESSES_MAX = 100_000


@dataclass(frozen=True)
class Target:
    """One address that is asked for its metrics, and the labels that its series get."""

    job: str
    url: str
    labels: Pairs
    interval_s: float
    server_name: str = ""  # in its certificate; empty: the address

    @property
    def offset_s(self) -> float:
        """Return where in the interval this target is asked: targets are spread by their hash."""
        spread = zlib.crc32(self.url.encode()) % 1000 / 1000
        return spread * self.interval_s


@dataclass
class TargetState:
    """One target and its last scrape."""

    target: Target
    task: asyncio.Task[None] | None = None
    health: str = "unknown"
    last_error: str = ""
    last_duration_s: float = 0.0


def targets_of(job: ScrapeJob, groups: Iterable[TargetGroup]) -> list[Target]:
    """Return the targets of a job in a fixed order; an address that occurs twice counts once.

    Labels named __scheme__ and __metrics_path__ say how to reach a group, __server_name__ what its
    certificates must name, __scrape_interval__ how often (as `15s`); no series gets them.
    """
    found: dict[tuple[str, Pairs], Target] = {}
    for group in groups:
        for address in group.targets:
            target = _target(job, group.labels, address)
            found.setdefault((target.url, target.labels), target)
    ordered = sorted(found.values(), key=lambda target: (target.url, target.labels))
    return ordered[: job.target_limit]


def _target(job: ScrapeJob, labels: Mapping[str, str], address: str) -> Target:
    scheme = labels.get("__scheme__", job.scheme)
    path = labels.get("__metrics_path__", job.path)
    own = {name: v for name, v in labels.items() if not name.startswith(RESERVED) and v}
    own = {"job": job.name, "instance": address} | own
    labels_of = tuple(sorted(own.items()))
    url, interval_s = f"{scheme}://{address}{path}", _interval_s(labels, job.interval_s)
    return Target(job.name, url, labels_of, interval_s, labels.get("__server_name__", ""))


def _interval_s(labels: Mapping[str, str], usual_s: float) -> float:
    """Return how often a group is asked. Raises: BadData."""
    if INTERVAL not in labels:
        return usual_s
    span_ms = duration_ms(labels[INTERVAL])
    if span_ms < INTERVAL_MS_MIN:
        raise BadData(f"{INTERVAL}: {labels[INTERVAL][:80]!r} is below {INTERVAL_MS_MIN} ms")
    return span_ms / 1000


def discovered(body: bytes, limits: Limits) -> list[TargetGroup]:
    """Return the groups of an answer of HTTP service discovery.

    Raises:
        BadData: it is not a JSON list of groups, or a label has a bad name, or is no interval.
        LimitExceeded: more addresses than ADDRESSES_MAX, or labels that no series may have.
    """
    try:
        groups = msgspec.json.decode(body, type=list[TargetGroup])
    except msgspec.DecodeError as error:
        raise BadData(f"service discovery: {error}") from error
    addresses = sum(len(group.targets) for group in groups)
    if addresses > ADDRESSES_MAX:
        raise LimitExceeded("discovered addresses", ADDRESSES_MAX, addresses)
    for group in groups:
        # Each address has a copy of its group's labels.
        if len(group.labels) > limits.labels_per_series:
            limit = limits.labels_per_series
            raise LimitExceeded("labels_per_series", limit, len(group.labels))
        for name, value in group.labels.items():
            if not is_label_name(name):
                raise BadData(f"service discovery: {name[:200]!r} is not a label name")
            if len(value) > limits.label_value_length:
                limit = limits.label_value_length
                raise LimitExceeded("label_value_length", limit, len(value))
        _interval_s(group.labels, 0.0)
    return groups


def labelled(
    pairs: Iterable[tuple[str, str]], target: Pairs, *, honor_labels: bool
) -> list[tuple[str, str]]:
    """Return the labels of a scraped series: the target's win, and what they hide is kept.

    A label that clashes becomes exported_<name>; with honor_labels, the series' own wins.
    """
    own = dict(pairs)
    for name, value in target:
        if name in own and honor_labels:
            continue
        if name in own:
            shadow = f"exported_{name}"
            while shadow in own:
                shadow = f"exported_{shadow}"
            own[shadow] = own[name]
        own[name] = value
    return list(own.items())
