"""Jobs and CronJobs as kubectl's `create` makes them."""

from collections.abc import Sequence

from cubernetes.api.notation.jsontext import Tree


def job_tree(name: str, image: str, command: Sequence[str]) -> Tree:
    """Return a Job of one container, which is named as the Job is."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": _spec(name, image, command, "Never"),
    }


def cronjob_tree(
    name: str, image: str, command: Sequence[str], schedule: str, restart: str
) -> Tree:
    """Return a CronJob whose Jobs are of one container, which is named as it is."""
    template = {"metadata": {"name": name}, "spec": _spec(name, image, command, restart)}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"schedule": schedule, "jobTemplate": template},
    }


def job_from(name: str, cronjob: Tree) -> Tree:
    """Return the Job that a CronJob would make, made by hand, now."""
    template, meta = cronjob["spec"]["jobTemplate"], cronjob["metadata"]
    kept = template.get("metadata") or {}
    notes = {**(kept.get("annotations") or {}), "cronjob.kubernetes.io/instantiate": "manual"}
    owner = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "annotations": notes,
            "labels": kept.get("labels") or {},
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
    }


def _spec(name: str, image: str, command: Sequence[str], restart: str) -> Tree:
    container: Tree = {"name": name, "image": image}
    if command:
        container["command"] = list(command)
    return {"template": {"spec": {"containers": [container], "restartPolicy": restart}}}
