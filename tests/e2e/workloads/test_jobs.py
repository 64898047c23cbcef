"""Jobs on real nodes: kubectl makes them and waits for them; each container ends by itself."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import PATIENCE_S
from tests.e2e.pods import BUSYBOX

pytestmark = [pytest.mark.lab]

type Kubectl = Callable[..., str]


@pytest.fixture
def kubectl(kubeconfig: Path, tmp_path: Path) -> Iterator[Kubectl]:
    """Return what runs a command line of kubectl in a namespace of its own."""

    def run(line: str, *words: str, text: str = "") -> str:
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={kubeconfig}", "-n", "jobs", *line.split(), *words],
            input=text, capture_output=True, text=True, timeout=3 * PATIENCE_S, check=False,
            env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        told = done.stdout + done.stderr
        assert done.returncode == 0, told
        return told

    run("create namespace jobs")
    yield run
    run(f"delete namespace jobs --timeout={PATIENCE_S:g}s")


def a_job(name: str, script: str, **spec: object) -> dict[str, Any]:
    container = {"name": "main", "image": BUSYBOX, "command": ["sh", "-c", script]}
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": pod}, **spec},
    }


def _made_at_an_edge(kubectl: Kubectl) -> None:
    """Wait until the CronJob of every minute has made a Job, and for that Job's end."""
    ends_at_s = time.monotonic() + 60.0 + PATIENCE_S
    while not (made := [one for one in _items(kubectl, "jobs") if _is_often(one)]):
        assert time.monotonic() < ends_at_s, "no Job of the next minute"
        time.sleep(0.5)
    meta = made[0]["metadata"]
    at = meta["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    minute = datetime.fromisoformat(at)
    assert (minute.second, meta["name"]) == (0, f"often-{int(minute.timestamp()) // 60}")
    assert minute <= datetime.fromisoformat(meta["creationTimestamp"])
    kubectl(f"wait --for=condition=complete job/{meta['name']} --timeout={PATIENCE_S:g}s")


def _items(kubectl: Kubectl, kinds: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(kubectl(f"get {kinds} -o json"))["items"]
    return found


def _is_often(one: Mapping[str, Any]) -> bool:
    """Whether this is of the CronJob of every minute."""
    return str(one["metadata"]["name"]).startswith("often-")


def _failed_for(status: Mapping[str, Any]) -> str:
    """Return the reason why a Job has failed."""
    (found,) = [one["reason"] for one in status["conditions"] if one["type"] == "Failed"]
    return str(found)


def test_jobs_end_when_as_many_pods_have_succeeded_or_failed(kubectl: Kubectl) -> None:
    works = a_job("works", "sleep 1", completions=3, parallelism=2)
    fails = a_job("fails", "exit 3", backoffLimit=1)
    part = a_job("part", 'test "$JOB_COMPLETION_INDEX" != 1', completionMode="Indexed",
                 completions=3, parallelism=3, backoffLimitPerIndex=0)  # fmt: skip
    kubectl("create -f -", text=json.dumps({"kind": "List", "apiVersion": "v1", "items": [
        works, fails, part]}))  # fmt: skip
    kubectl(f"create cronjob often --image={BUSYBOX}", "--schedule=* * * * *", "--", "true")
    never = "0 0 31 2 *"
    kubectl(f"create cronjob daily --image={BUSYBOX}", f"--schedule={never}", "--", "true")
    kubectl("create job --from=cronjob/daily today")

    for name, fact in (("works", "complete"), ("today", "complete"), ("fails", "failed"),
                       ("part", "failed")):  # fmt: skip
        kubectl(f"wait --for=condition={fact} job/{name} --timeout={PATIENCE_S:g}s")

    _made_at_an_edge(kubectl)
    found = [one for one in _items(kubectl, "jobs,pods") if not _is_often(one)]
    status = {one["metadata"]["name"]: one["status"] for one in found if one["kind"] == "Job"}
    assert (status["works"]["succeeded"], status["works"].get("failed", 0)) == (3, 0)
    assert (status["fails"].get("succeeded", 0), status["fails"]["failed"]) == (0, 2)
    reasons = {name: _failed_for(status[name]) for name in ("fails", "part")}
    assert reasons == {"fails": "BackoffLimitExceeded", "part": "FailedIndexes"}
    # The index that fails is given up, and the others are done all the same.
    assert (status["part"]["completedIndexes"], status["part"]["failedIndexes"]) == ("0,2", "1")
    phases = [
        (one["metadata"]["labels"]["job-name"], one["status"]["phase"])
        for one in found
        if one["kind"] == "Pod"
    ]
    wanted = [("fails", "Failed")] * 2 + [("works", "Succeeded")] * 3 + [("today", "Succeeded")]
    wanted += [("part", "Succeeded")] * 2 + [("part", "Failed")]
    assert sorted(phases) == sorted(wanted)
