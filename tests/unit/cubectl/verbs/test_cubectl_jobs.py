"""`cubectl create job` and `create cronjob`: words, flags and what comes of them are kubectl's."""

from cubernetes.api.batch.cronjob import CronJob
from cubernetes.api.batch.job import Job
from cubernetes.api.coding import codec
from tests.unit.cubectl.tinyserver import TinyServer, run

ROOT = "/apis/batch/v1/namespaces/default"


def test_a_job_is_made_of_an_image_and_a_command() -> None:
    server = TinyServer()

    said = run(server, "create job work --image=shop/tool:1 -- sh -c true")

    assert (said.code, said.out) == (0, "job.batch/work created\n")
    pod = kept(server).spec.template.spec
    assert pod.restart_policy == "Never"
    assert [(one.name, one.image, one.command) for one in pod.containers] == [
        ("work", "shop/tool:1", ("sh", "-c", "true"))
    ]


def test_without_a_command_the_image_says_what_runs() -> None:
    server = TinyServer()

    assert run(server, "create job work --image=shop/tool:1").code == 0
    assert kept(server).spec.template.spec.containers[0].command == ()


def test_a_job_needs_a_name_and_an_image() -> None:
    server = TinyServer()

    assert run(server, "create job --image=a").code == 2
    assert run(server, "create job work").code == 2


def test_a_cronjob_is_made_of_an_image_a_schedule_and_a_command() -> None:
    server = TinyServer()

    line = "create cronjob tick --image=shop/tool:1 --schedule=@hourly --restart=Never -- date"
    said = run(server, line)

    assert (said.code, said.out) == (0, "cronjob.batch/tick created\n")
    one = codec.from_tree(CronJob, server.trees[f"{ROOT}/cronjobs/tick"]).model
    pod = one.spec.job_template.spec.template.spec
    assert (one.spec.schedule, pod.restart_policy) == ("@hourly", "Never")
    assert (pod.containers[0].name, pod.containers[0].command) == ("tick", ("date",))
    assert run(server, "create cronjob tick --image=a").code == 2
    assert run(server, "create cronjob tick --schedule=@hourly").code == 2


def test_a_job_is_made_from_a_cronjob_by_hand() -> None:
    server = TinyServer()
    run(server, "create cronjob tick --image=shop/tool:1 --schedule=@hourly -- date")
    server.trees[f"{ROOT}/cronjobs/tick"]["metadata"]["uid"] = "u1"

    said = run(server, "create job work --from=cronjob/tick")

    assert (said.code, said.out) == (0, "job.batch/work created\n")
    one = kept(server)
    assert one.metadata.annotations == {"cronjob.kubernetes.io/instantiate": "manual"}
    owner = one.metadata.controller
    assert owner is not None
    assert (owner.kind, owner.name, owner.uid) == ("CronJob", "tick", "u1")
    assert one.spec.template.spec.containers[0].command == ("date",)
    assert run(server, "create job other --from=cronjob/none").code != 0
    assert run(server, "create job other --from=pod/tick").code == 2


def kept(server: TinyServer) -> Job:
    return codec.from_tree(Job, server.trees[f"{ROOT}/jobs/work"]).model
