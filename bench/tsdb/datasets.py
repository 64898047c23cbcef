"""Six data sets with the shapes that exporters really send, each a matrix of series by samples.

Everything is drawn from a seed, so that every database and every coding meets the same numbers.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

START_MS = 1_700_000_000_000
STEP_MS = 15_000


def timestamps(sample_count: int) -> Ints:
    """Return one aligned scrape every 15 s, as Prometheus stores them."""
    return START_MS + STEP_MS * np.arange(sample_count, dtype=np.int64)


def cpu_counters(rng: np.random.Generator, series_count: int, sample_count: int) -> Floats:
    """Draw node_cpu_seconds_total: hundredths of a second, at most 15 s a scrape."""
    busy = rng.beta(0.6, 3.0, (series_count, 1)) * 1500
    ticks = rng.normal(busy, busy * 0.15 + 1, (series_count, sample_count)).clip(0, 1500)
    start = rng.integers(0, 10_000_000, (series_count, 1))
    return (start + np.cumsum(ticks.astype(np.int64), axis=1)) / 100.0


def memory_gauges(rng: np.random.Generator, series_count: int, sample_count: int) -> Floats:
    """Draw container_memory_working_set_bytes: pages of 4096 bytes, moving half of the time."""
    moves = rng.normal(0, 200, (series_count, sample_count)).astype(np.int64)
    moves[rng.random(moves.shape) < 0.5] = 0
    start = rng.integers(2_000, 500_000, (series_count, 1))
    return ((start + np.cumsum(moves, axis=1)).clip(100) * 4096).astype(np.float64)


def request_counters(rng: np.random.Generator, series_count: int, sample_count: int) -> Floats:
    """Draw http_requests_total: Poisson arrivals, rates from idle to some hundred a scrape."""
    rate = rng.gamma(0.5, 30.0, (series_count, 1))
    arrivals = rng.poisson(rate, (series_count, sample_count))
    return np.cumsum(arrivals, axis=1).astype(np.float64)


def latency_histograms(rng: np.random.Generator, series_count: int, sample_count: int) -> Floats:
    """Draw the cumulative buckets of histograms with twelve bounds each."""
    groups = -(-series_count // 12)
    rate = rng.gamma(0.8, 40.0, (groups, 1, 1))
    weight = rng.dirichlet(np.ones(12) * 0.7, groups)[:, :, None]
    hits = rng.poisson(rate * weight, (groups, 12, sample_count))
    rows: Floats = (
        np.cumsum(np.cumsum(hits, axis=1), axis=2)
        .reshape(-1, sample_count)[:series_count]
        .astype(np.float64)
    )
    return rows


def constants(rng: np.random.Generator, series_count: int, sample_count: int) -> Floats:
    """Draw up, build_info and limits: a number that does not move."""
    start = rng.choice([0.0, 1.0, 0.5, 4096.0, 1.7e9], (series_count, 1))
    return np.repeat(start, sample_count, axis=1)


def random_gauges(rng: np.random.Generator, series_count: int, sample_count: int) -> Floats:
    """Draw numbers with 52 random bits: nothing can make them small."""
    return rng.random((series_count, sample_count)) * 100


DATASETS: dict[str, Callable[[np.random.Generator, int, int], Floats]] = {
    "cpu_counters": cpu_counters,
    "memory_gauges": memory_gauges,
    "request_counters": request_counters,
    "latency_histograms": latency_histograms,
    "constants": constants,
    "random_gauges": random_gauges,
}


def dataset(name: str, series_count: int, sample_count: int, seed: int = 3) -> Floats:
    """Return the matrix of one data set: a row for each series, in the order of time."""
    return DATASETS[name](np.random.default_rng(seed), series_count, sample_count)
