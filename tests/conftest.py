"""The same tests everywhere: on slow machines as on fast ones, in the background as in front."""

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A shell starts what runs in the background deaf to interrupts, and every child inherits that:
# programs whose interruption is tested would never notice it.
signal.signal(signal.SIGINT, signal.default_int_handler)
