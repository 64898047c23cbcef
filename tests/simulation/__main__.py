"""Live one seed again and tell its story, or many to find out which fail.

`python -m tests.simulation SEED` tells every line; `python -m tests.simulation SEED --quiet` only
how it ended; `--count N` lives N seeds from SEED on.
"""

import argparse
import logging
import sys
import time

from tests.simulation.world import QUIET_LEVEL, Ended, lived


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--debug", action="store_true")
    options = parser.parse_args()
    if options.count:
        return _many(range(options.seed, options.seed + options.count))
    level = logging.DEBUG if options.debug else logging.INFO
    if options.quiet:
        ended = lived(str(options.seed), level=QUIET_LEVEL)
    else:
        ended = lived(str(options.seed), _say, level)
    _say(_told(ended))
    return 1 if ended.trouble else 0


def _many(seeds: range) -> int:
    began_s, ends = time.monotonic(), []
    for seed in seeds:
        ended = lived(str(seed))
        ends.append(ended)
        if ended.trouble:
            _say(_told(ended))
    took_s = time.monotonic() - began_s
    failed = [one.seed for one in ends if one.trouble]
    agreed = sorted(one.agreed_after_s for one in ends if not one.trouble)
    lived_s = sum(one.lived_s for one in ends)
    steps = sum(one.step_count for one in ends)
    _say(
        f"{len(ends)} seeds in {took_s:.1f} s ({len(ends) / took_s:.2f} a second), "
        f"{lived_s / 3600:.2f} simulated hours ({lived_s / took_s:.0f} times real time), "
        f"{steps / took_s / 1000:.0f}k steps/s, {sum(one.revision for one in ends)} revisions"
    )
    if agreed:
        slowest = sorted(ends, key=lambda one: -one.agreed_after_s)[:5]
        named = ", ".join(f"{one.agreed_after_s:.0f} s (seed {one.seed})" for one in slowest)
        _say(f"agreed after {agreed[len(agreed) // 2]:.0f} s (median); slowest: {named}")
    _say(f"failed: {len(failed)} {' '.join(failed)}")
    return 1 if failed else 0


def _told(ended: Ended) -> str:
    how = ended.trouble or f"agreed after {ended.agreed_after_s:.0f} s"
    return (
        f"seed {ended.seed}: lived {ended.lived_s:.0f} s, {ended.step_count} steps, "
        f"revision {ended.revision}, trace {ended.trace:012x}: {how}"
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
