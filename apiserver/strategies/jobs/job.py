"""Jobs: the selector and the labels by which their pods are found are the server's. Pure."""

from apiserver.strategies.admission.podsecurity.workloads import Workloads
from cubernetes.api.batch.job import (
    CONTROLLER_UID,
    JOB_NAME,
    OLD_CONTROLLER_UID,
    OLD_JOB_NAME,
    Job,
    JobStatus,
)
from cubernetes.api.meta import replaced
from cubernetes.api.selectors import LabelSelector


class Jobs(Workloads[Job]):
    """A Job is told by its uid from any other of its name, and so are its pods."""

    def prepared(self, new: Job) -> Job:
        meta, spec = new.metadata, new.spec
        if not spec.manual_selector:
            theirs = spec.template.metadata
            labels = {
                **theirs.labels,
                CONTROLLER_UID: meta.uid,
                JOB_NAME: meta.name,
                OLD_CONTROLLER_UID: meta.uid,
                OLD_JOB_NAME: meta.name,
            }
            template = replaced(spec.template, metadata=replaced(theirs, labels=labels))
            # What else an author selects by is refused by the rules of the kind.
            given = spec.selector or LabelSelector()
            selector = replaced(
                given, match_labels={**given.match_labels, CONTROLLER_UID: meta.uid}
            )
            spec = replaced(spec, selector=selector, template=template)
        return replaced(new, spec=spec, status=JobStatus())
