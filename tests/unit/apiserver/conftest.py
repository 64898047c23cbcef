"""Laws are tried as often on a slow machine as on a fast one: no deadline for one example."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
