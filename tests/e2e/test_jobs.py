"""Jobs on real nodes: kubectl makes them and waits for them; each container ends by itself."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
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


def test_jobs_end_when_as_many_pods_have_succeeded_or_failed(kubectl: Kubectl) -> None:
    works = a_job("works", "sleep 1", completions=3, parallelism=2)
    fails = a_job("fails", "exit 3", backoffLimit=1)
    kubectl("create -f -", text=json.dumps({"kind": "List", "apiVersion": "v1", "items": [
        works, fails]}))  # fmt: skip
    never = "0 0 31 2 *"
    kubectl(f"create cronjob daily --image={BUSYBOX}", f"--schedule={never}", "--", "true")
    kubectl("create job --from=cronjob/daily today")

    for name, fact in (("works", "complete"), ("today", "complete"), ("fails", "failed")):
        kubectl(f"wait --for=condition={fact} job/{name} --timeout={PATIENCE_S:g}s")

    found = json.loads(kubectl("get jobs,pods -o json"))["items"]
    status = {one["metadata"]["name"]: one["status"] for one in found if one["kind"] == "Job"}
    assert (status["works"]["succeeded"], status["works"].get("failed", 0)) == (3, 0)
    assert (status["fails"].get("succeeded", 0), status["fails"]["failed"]) == (0, 2)
    (condition,) = [one for one in status["fails"]["conditions"] if one["type"] == "Failed"]
    assert condition["reason"] == "BackoffLimitExceeded"
    phases = [
        (one["metadata"]["labels"]["job-name"], one["status"]["phase"])
        for one in found
        if one["kind"] == "Pod"
    ]
    wanted = [("fails", "Failed")] * 2 + [("works", "Succeeded")] * 3 + [("today", "Succeeded")]
    assert sorted(phases) == sorted(wanted)
