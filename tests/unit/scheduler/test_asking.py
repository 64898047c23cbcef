"""What is asked of nodes for a pod, and what a change of it means."""

from datetime import UTC, datetime

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.toleration import Toleration
from cubernetes.api.meta import replaced
from scheduler.asking import is_bound_as_asked
from tests.given import a_pod

ASKED = a_pod(cpu="100m", memory="16Mi")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def bound(pod: Pod) -> Pod:
    return replaced(pod, spec=replaced(pod.spec, node_name="n1"))


def test_a_pod_that_was_only_bound_is_as_it_was_asked_for() -> None:
    told = replaced(bound(ASKED), metadata=replaced(ASKED.metadata, annotations={"a": "b"}))
    assert is_bound_as_asked(ASKED, bound(ASKED))
    assert is_bound_as_asked(ASKED, told)


@pytest.mark.parametrize(
    "changed",
    [
        replaced(ASKED, metadata=replaced(ASKED.metadata, labels={"app": "other"})),
        replaced(ASKED, metadata=replaced(ASKED.metadata, deletion_timestamp=NOON)),
        replaced(ASKED, spec=replaced(ASKED.spec, tolerations=(Toleration(key="a"),))),
        replaced(ASKED, status=replaced(ASKED.status, phase="Running")),
        replaced(ASKED, status=replaced(ASKED.status, start_time=NOON)),
    ],
    ids=["labels", "deletion", "spec", "phase", "start"],
)
def test_a_pod_that_changed_since_is_weighed_anew(changed: Pod) -> None:
    assert not is_bound_as_asked(ASKED, bound(changed))


def test_a_pod_that_was_never_decided_on_is_weighed_anew() -> None:
    assert not is_bound_as_asked(None, bound(ASKED))
