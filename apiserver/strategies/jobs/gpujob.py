"""GPU jobs: what has been sent to a site is not forgotten before it is gone there. Pure."""

from apiserver.state.items import Seen
from apiserver.storage.store import Op
from apiserver.strategies.strategy import Cluster, Draw, Strategy
from cubernetes.api.gpu.gpujob import FINALIZER, GpuJob
from cubernetes.api.meta import replaced


class GpuJobs(Strategy[GpuJob]):
    """The write that says that a job is on its way gives it the finalizer, in one transaction."""

    def changed(
        self,
        cluster: Cluster,  # noqa: ARG002  a hook
        old: GpuJob,
        new: GpuJob,
        seen: Seen,  # noqa: ARG002
        draw: Draw,  # noqa: ARG002
    ) -> tuple[GpuJob, tuple[Op, ...]]:
        is_sent = new.status.submission_key and not old.status.submission_key
        if not is_sent or FINALIZER in new.metadata.finalizers:
            return new, ()
        finalizers = (*new.metadata.finalizers, FINALIZER)
        return replaced(new, metadata=replaced(new.metadata, finalizers=finalizers)), ()
