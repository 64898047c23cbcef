"""`cubectl rollout`, `set image` and `create deployment`: words and codes are kubectl's."""

import pytest

from cubernetes.api.apps.controllerrevision import (
    ControllerRevision,
    RevisedSpec,
    RevisedTemplate,
    RevisionData,
)
from cubernetes.api.apps.daemonset import DaemonSet, DaemonSetStatus
from cubernetes.api.apps.deployment import Deployment, DeploymentCondition, DeploymentStatus
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.apps.statefulset import (
    RollingUpdateStatefulSet,
    StatefulSet,
    StatefulSetStatus,
    StatefulSetUpdateStrategy,
)
from cubernetes.api.coding import codec
from cubernetes.api.meta import replaced
from tests.daemons import a_daemonset
from tests.given import (
    a_container,
    a_deployment,
    a_meta,
    a_replicaset,
    a_statefulset,
    a_template,
)
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


def a_revised(owner: StatefulSet | DaemonSet, number: int) -> ControllerRevision:
    template = a_template(containers=(a_container(image=f"web:{number}"),))
    revised = RevisedTemplate(metadata=template.metadata, spec=template.spec)
    meta = a_meta(f"web-h{number}", "default")
    return ControllerRevision(
        metadata=replaced(meta, owner_references=(owner.owner_reference(),)),
        data=RevisionData(spec=RevisedSpec(template=revised)),
        revision=number,
    )


STATEFULSET = "/apis/apps/v1/namespaces/default/statefulsets/web"


def a_numbered(partition: int = 0, **status: object) -> StatefulSet:
    strategy = StatefulSetUpdateStrategy(
        rolling_update=RollingUpdateStatefulSet(partition=partition)
    )
    one = a_statefulset(replicas=3, image="web:2", update_strategy=strategy)
    told = {"observed_generation": 1, "ready_replicas": 3, **status}
    return replaced(one, status=StatefulSetStatus(**told))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (
            a_numbered(observed_generation=0),
            "Waiting for statefulset spec update to be observed...",
        ),
        (a_numbered(ready_replicas=1), "Waiting for 2 pods to be ready..."),
        (
            a_numbered(updated_replicas=1, update_revision="b", current_revision="a"),
            "waiting for statefulset rolling update to complete 1 pods at revision b...",
        ),
        (
            a_numbered(2, updated_replicas=0),
            "Waiting for partitioned roll out to finish: 0 out of 1 new pods have been updated...",
        ),
        (
            a_numbered(2, updated_replicas=1),
            "partitioned roll out complete: 1 new pods have been updated...",
        ),
        (
            a_numbered(current_replicas=3, update_revision="b", current_revision="b"),
            "statefulset rolling update complete 3 pods at revision b...",
        ),
    ],
)
def test_the_status_of_a_statefulset_is_told_in_kubectls_words(one: StatefulSet, told: str) -> None:
    said = run(TinyServer(one), "rollout status sts/web --watch=false")

    assert (said.code, said.out) == (0, f"{told}\n")


def test_a_statefulset_that_waits_for_others_has_no_status_of_its_rollout() -> None:
    one = a_statefulset(update_strategy=StatefulSetUpdateStrategy(type="OnDelete"))

    said = run(TinyServer(one), "rollout status sts/web")

    assert said.code == 1
    assert "only available for RollingUpdate strategy type" in said.err


def test_a_statefulset_goes_back_to_a_recorded_revision() -> None:
    one = a_numbered()
    server = TinyServer(one, a_revised(one, 1), a_revised(one, 2))

    history = run(server, "rollout history sts/web")
    lines = [line.split()[0] for line in history.out.splitlines() if line[:1].isdigit()]
    assert lines == ["1", "2"], history.err
    assert "web:1" in run(server, "rollout history sts/web --revision 1").out
    assert run(server, "rollout undo sts/web").out == "statefulset.apps/web rolled back\n"
    kept_one = codec.from_tree(StatefulSet, server.trees[STATEFULSET]).model
    assert kept_one.spec.template.spec.containers[0].image == "web:1"
    assert "already matches revision 1" in run(server, "rollout undo sts/web --to-revision 1").out
    assert run(server, "rollout undo sts/web --to-revision 7").code == 1


def test_a_statefulset_is_restarted_and_never_paused() -> None:
    server = TinyServer(a_numbered())

    assert run(server, "rollout restart sts/web").out == "statefulset.apps/web restarted\n"
    said = run(server, "rollout pause sts/web")
    assert (said.code, "pausing is not supported" in said.err) == (1, True)


def a_daemon(**status: object) -> DaemonSet:
    counts = {"observed_generation": 1, "desired_number_scheduled": 3, **status}
    return replaced(a_daemonset(), status=DaemonSetStatus(**counts))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (a_daemon(observed_generation=0), "Waiting for daemon set spec update to be observed..."),
        (
            a_daemon(updated_number_scheduled=1, number_available=3),
            'Waiting for daemon set "web" rollout to finish: '
            "1 out of 3 new pods have been updated...",
        ),
        (
            a_daemon(updated_number_scheduled=3, number_available=2),
            'Waiting for daemon set "web" rollout to finish: 2 of 3 updated pods are available...',
        ),
        (
            a_daemon(updated_number_scheduled=3, number_available=3),
            'daemon set "web" successfully rolled out',
        ),
    ],
)
def test_the_status_of_a_daemonset_is_told_in_kubectls_words(one: DaemonSet, told: str) -> None:
    said = run(TinyServer(one), "rollout status ds/web --watch=false")

    assert (said.code, said.out) == (0, f"{told}\n")


def test_a_daemonset_goes_back_and_is_restarted() -> None:
    one = a_daemonset(image="web:2")
    server = TinyServer(one, a_revised(one, 1), a_revised(one, 2))

    assert run(server, "rollout undo ds/web").out == "daemonset.apps/web rolled back\n"
    kept_one = server.trees["/apis/apps/v1/namespaces/default/daemonsets/web"]
    assert kept_one["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1"
    assert run(server, "rollout restart ds/web").out == "daemonset.apps/web restarted\n"
