"""The same tests everywhere: on slow machines as on fast ones, in the background as in front."""

import gc
import os
import signal

from hypothesis import HealthCheck, settings

# No deadline for one example: a law is tried as often on a slow machine as on a fast one: as often,
# where it says nothing itself, as CUBE_EXAMPLES says, which `scripts/check` sets lower.
settings.register_profile(
    "patient",
    deadline=None,
    max_examples=int(os.environ.get("CUBE_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")

# A shell starts what runs in the background deaf to interrupts, and every child inherits that:
# programs whose interruption is tested would never notice it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Rules that parse the house and laws of many cases make objects by the million and few circles: at
# the usual threshold the collector takes half of the processor's time.
gc.set_threshold(100_000, 50, 100)


def pytest_collection_finish() -> None:
    """Take what collecting made, which stays to the end, out of the collector's sight."""
    gc.collect()
    gc.freeze()
