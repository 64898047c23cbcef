"""`cubectl rollout`, `set image` and `create deployment`: words and codes are kubectl's."""

from cubernetes.api.apps.deployment import Deployment, DeploymentCondition, DeploymentStatus
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.coding import codec
from cubernetes.api.meta import replaced
from tests.given import a_container, a_deployment, a_replicaset, a_template
from tests.unit.cubectl.tinyserver import TinyServer, run

PATH = "/apis/apps/v1/namespaces/default/deployments/web"
REVISION = "deployment.kubernetes.io/revision"


def a_web(**status: object) -> Deployment:
    one = a_deployment(replicas=3, annotations={REVISION: "2", "own": "x"}, image="web:2")
    return replaced(one, status=DeploymentStatus(**{"observed_generation": 1, **status}))  # type: ignore[arg-type]


def a_revision(number: int, owner: Deployment, cause: str = "") -> ReplicaSet:
    labels = {"app": "web", "pod-template-hash": f"h{number}"}
    template = a_template(labels, containers=(a_container(image=f"web:{number}"),))
    one = a_replicaset(f"web-h{number}", template=template)
    notes = {REVISION: str(number)} | ({"kubernetes.io/change-cause": cause} if cause else {})
    meta = replaced(
        one.metadata, annotations=notes, owner_references=(owner.owner_reference(),), labels=labels
    )
    return replaced(one, metadata=meta)


def a_server(**status: object) -> TinyServer:
    one = a_web(**status)
    stranger = a_replicaset("web-other")
    return TinyServer(one, a_revision(2, one), a_revision(1, one, "first"), stranger)


def kept(server: TinyServer) -> Deployment:
    return codec.from_tree(Deployment, server.trees[PATH]).model


def image(server: TinyServer) -> str:
    return kept(server).spec.template.spec.containers[0].image


def test_a_status_that_is_whole_ends_at_once() -> None:
    said = run(
        a_server(replicas=3, updated_replicas=3, available_replicas=3), "rollout status deploy/web"
    )

    assert (said.code, said.out) == (0, 'deployment "web" successfully rolled out\n')


def test_a_status_is_told_each_time_it_changes() -> None:
    server = a_server(replicas=3, updated_replicas=1, available_replicas=3)
    server.changes = [
        ("MODIFIED", codec.to_tree(a_web(**counts)))
        for counts in (
            {"replicas": 4, "updated_replicas": 3, "available_replicas": 3},
            {"replicas": 3, "updated_replicas": 3, "available_replicas": 2},
            {"replicas": 3, "updated_replicas": 3, "available_replicas": 3},
        )
    ]

    said = run(server, "rollout status deployment web")

    waits = 'Waiting for deployment "web" rollout to finish:'
    assert said.out.splitlines() == [
        f"{waits} 1 out of 3 new replicas have been updated...",
        f"{waits} 1 old replicas are pending termination...",
        f"{waits} 2 of 3 updated replicas are available...",
        'deployment "web" successfully rolled out',
    ]
    assert said.code == 0


def test_a_change_that_nobody_has_looked_at_is_waited_for() -> None:
    said = run(a_server(observed_generation=0), "rollout status deploy/web --watch=false")

    assert said.out == "Waiting for deployment spec update to be observed...\n"


def test_a_rollout_past_its_deadline_ends_with_1() -> None:
    late = DeploymentCondition(
        type="Progressing", status="False", reason="ProgressDeadlineExceeded"
    )
    said = run(a_server(conditions=(late,)), "rollout status deploy/web")

    assert said.code == 1
    assert 'deployment "web" exceeded its progress deadline' in said.err


def test_a_history_has_revisions_and_causes_the_oldest_first() -> None:
    said = run(a_server(), "rollout history deployment/web")

    assert [line.split() for line in said.out.splitlines() if line] == [
        ["deployment.apps/web"],
        ["REVISION", "CHANGE-CAUSE"],
        ["1", "first"],
        ["2", "<none>"],
    ]


def test_a_revision_is_told_with_its_template_without_the_hash() -> None:
    said = run(a_server(), "rollout history deploy/web --revision=1")

    assert said.out.startswith("deployment.apps/web with revision #1\nPod Template:\n")
    assert "web:1" in said.out
    assert "pod-template-hash" not in said.out
    assert run(a_server(), "rollout history deploy/web --revision=9").code == 1


def test_an_undo_takes_template_and_cause_of_the_revision_before() -> None:
    for line in ("rollout undo deploy/web", "rollout undo deploy/web --to-revision=1"):
        server = a_server()
        said = run(server, line)

        assert (said.code, said.out) == (0, "deployment.apps/web rolled back\n")
        one = kept(server)
        assert image(server) == "web:1"
        assert one.spec.template.metadata.labels == {"app": "web"}
        assert one.metadata.annotations["kubernetes.io/change-cause"] == "first"
        assert one.metadata.annotations[REVISION] == "2"


def test_an_undo_that_changes_nothing_says_so_and_one_of_nothing_fails() -> None:
    skipped = run(a_server(), "rollout undo deploy/web --to-revision=2")
    assert "skipped rollback (current template already matches revision 2)" in skipped.out
    assert (
        "unable to find specified revision 7"
        in run(a_server(), "rollout undo deploy/web --to-revision=7").err
    )
    alone = run(TinyServer(a_web()), "rollout undo deploy/web")
    assert 'no rollout history found for deployment "web"' in alone.err
    assert alone.code == 1


def test_a_pause_holds_until_it_is_resumed() -> None:
    server = a_server()
    assert run(server, "rollout pause deploy/web").out == "deployment.apps/web paused\n"
    assert kept(server).spec.paused
    assert run(server, "rollout pause deploy/web").code == 1
    assert run(server, "rollout restart deploy/web").code == 1
    assert run(server, "rollout undo deploy/web").code == 1

    assert run(server, "rollout resume deploy/web").out == "deployment.apps/web resumed\n"
    assert not kept(server).spec.paused
    assert run(server, "rollout resume deploy/web").code == 1


def test_a_restart_stamps_the_template() -> None:
    server = a_server()
    said = run(server, "rollout restart deployment web")

    assert said.out == "deployment.apps/web restarted\n"
    notes = kept(server).spec.template.metadata.annotations
    assert notes == {"kubectl.kubernetes.io/restartedAt": "2025-01-01T12:00:00Z"}


def test_only_deployments_have_rollouts() -> None:
    assert run(a_server(), "rollout status pods/web").code == 2
    assert run(a_server(), "rollout status deployments").code == 2
    assert run(a_server(), "rollout status deploy/nobody --watch=false").code == 1


def test_an_image_is_set_by_the_name_of_its_container() -> None:
    server = a_server()
    said = run(server, "set image deployment/web main=web:9")
    assert (said.out, image(server)) == ("deployment.apps/web image updated\n", "web:9")
    assert run(server, "set image deploy web *=web:10").code == 0
    assert image(server) == "web:10"
    assert run(server, "set image deploy web *=web:10").out == ""

    said = run(server, "set image deployment/web other=web:9")
    assert (said.code, image(server)) == (1, "web:10")
    assert 'unable to find container named "other"' in said.err
    assert run(server, "set image deployment/web").code == 2
    assert run(server, "set image deployment/web main=").code == 2


def test_a_deployment_is_made_of_an_image() -> None:
    server = TinyServer()
    line = "create deployment web --image=shop/web:1 --image=side --replicas=2 --port=80"
    said = run(server, line)

    assert (said.code, said.out) == (0, "deployment.apps/web created\n")
    spec = kept(server).spec
    assert [(one.name, one.image) for one in spec.template.spec.containers] == [
        ("web", "shop/web:1"), ("side", "side")
    ]  # fmt: skip
    assert spec.replicas == 2
    assert spec.template.spec.containers[0].ports[0].container_port == 80
    assert run(server, "create deployment web").code == 2
    assert run(server, "create pod web --image=a").code == 2
    assert run(server, "create").code == 2
