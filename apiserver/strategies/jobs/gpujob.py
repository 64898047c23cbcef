"""GPU jobs and their sites: nothing is forgotten before it is gone where it was sent. Pure."""

from apiserver.state.items import Seen
from apiserver.storage.store import Op
from apiserver.strategies.strategy import Cluster, Draw, Strategy
from cubernetes.api.gpu.gpujob import FINALIZER, GpuJob
from cubernetes.api.gpu.gpusite import SITE_FINALIZER, GpuSite
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


class GpuSites(Strategy[GpuSite]):
    """A site outside the cluster has the finalizer from its beginning."""

    def prepared(self, new: GpuSite) -> GpuSite:
        made = super().prepared(new)
        if made.spec.slurm is None or SITE_FINALIZER in made.metadata.finalizers:
            return made
        finalizers = (*made.metadata.finalizers, SITE_FINALIZER)
        return replaced(made, metadata=replaced(made.metadata, finalizers=finalizers))
