"""An ephemeral container: one that is added to a pod that runs, to look into it."""

from cubernetes.api.core.podspec.container import Container


class EphemeralContainer(Container):
    """A container that is added to a pod by `pods/ephemeralcontainers`. It is never started again.

    It counts for nothing that its pod is: not for its phase, its readiness or its resources. What a
    container has for lasting services (ports, probes, hooks, resources) is refused by name.

    target_container_name: the container whose processes it shares; empty: it has its own.
    """

    target_container_name: str = ""
