"""What a pod may not ask for, however it is spelt."""

import pytest

from cubernetes.api.core.podrules import spec_problems
from cubernetes.api.meta import replaced
from tests.given import a_container, a_pod


@pytest.mark.parametrize(
    ("folder", "is_legal"),
    [
        ("/proc", False),
        ("/proc/self/fd/8", False),
        ("//proc/self/fd/8", False),
        ("/./proc/self", False),
        ("/processes", True),
        ("/srv/proc", True),
        ("/", True),
    ],
)
def test_t9_a_working_directory_in_proc_is_refused_in_every_spelling(
    folder: str, is_legal: bool
) -> None:
    pod = a_pod("a")
    container = replaced(a_container(), working_dir=folder)
    spec = replaced(pod.spec, containers=(container,))
    fields = [one.field for one in spec_problems(spec, "spec")]
    assert fields == ([] if is_legal else ["spec.containers[0].workingDir"])
