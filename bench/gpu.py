"""How long a plan of GPU jobs takes, over all queues and sites.

    python -m bench.gpu [--jobs 1000 10000] [--sites 100] [--gpus 8]

Once where all sites are empty, and once where they are full: then each job is told why it waits.
"""

import argparse
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bench.ground.report import show, spread
from gpu.plan import ActiveJob, Queue, Site, Waiting, plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROUNDS = 5
QUEUES = 5


def jobs_of(count: int, gpus_max: int) -> list[Waiting]:
    return [
        Waiting(
            uid=f"job-{index}",
            queue=f"queue-{index % QUEUES}",
            priority=index % 3,
            at=NOW + timedelta(seconds=index),
            gpus=index % gpus_max + 1,
            limit_s=60.0 + index * 7919 % 5000,
        )
        for index in range(count)
    ]


def spent_ms(jobs: Sequence[Waiting], held: Sequence[ActiveJob], sites: Sequence[Site]) -> float:
    queues = [Queue(f"queue-{index}", weight=index + 1) for index in range(QUEUES)]
    began_s = time.process_time()
    made = plan(NOW, jobs, held, sites, queues)
    spent_s = time.process_time() - began_s
    assert len(made.admissions) + len(made.waits) == len(jobs)
    return spent_s * 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.gpu", description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--gpus", type=int, default=8)
    told = parser.parse_args()
    devices = {f"gpu-{index}": "h200" for index in range(told.gpus)}
    sites = [Site(f"site-{index}", devices, jobs_max=1000) for index in range(told.sites)]
    ends_at = NOW + timedelta(hours=1)
    full = [
        ActiveJob(f"held-{one.name}", "queue-0", one.name, tuple(devices), ends_at) for one in sites
    ]
    figures: dict[str, object] = {}
    for count in told.jobs:
        jobs = jobs_of(count, told.gpus)
        for state, held in (("empty", ()), ("full", full)):
            taken_ms = [spent_ms(jobs, held, sites) for _ in range(ROUNDS)]
            figures[f"{count} jobs, {told.sites} sites {state}, ms"] = spread(taken_ms)
    show("gpu", {"sites": told.sites, "gpus": told.gpus}, figures)


if __name__ == "__main__":
    main()
