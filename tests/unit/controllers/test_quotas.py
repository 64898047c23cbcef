"""The count of quotas: what changes it, and from which views it is written."""

from controllers.quotas import Quotas
from cubernetes.api.apiextensions.customresourcedefinition import CustomResourceDefinition
from cubernetes.api.apiextensions.definedkinds import followed_kind
from cubernetes.api.coding import codec
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.resourcequota import ResourceQuota
from cubernetes.api.meta import Object, ObjectMeta, replaced
from cubernetes.api.resource import Resource
from cubernetes.reconcile.plan import RequeueAfter, StillView, UpdateStatus
from tests.definitions import GROUP, NAME, a_definition
from tests.given import NOW, a_deployment, a_pod
from tests.unit.api.core.test_quota import a_quota
from tests.volumes import a_claim


def seen_at(quota: ResourceQuota, revision: int) -> ResourceQuota:
    return replaced(quota, metadata=replaced(quota.metadata, resource_version=str(revision)))


def told(quota: ResourceQuota, *objects: object, as_of: int = 9) -> dict[str, str] | None:
    """Return what a plan writes as used; None where it writes nothing."""
    view = StillView([quota, *objects], as_of=as_of)  # type: ignore[list-item]
    for action in Quotas().plan(quota.ref, view, NOW):
        if isinstance(action, UpdateStatus):
            status = action.object.status  # type: ignore[attr-defined]
            assert status.hard == quota.spec.hard
            return {name: str(amount) for name, amount in status.used.items()}
    return None


def test_everything_in_the_namespace_is_counted_and_nothing_else() -> None:
    quota = a_quota(hard={"pods": "9", "requests.cpu": "4", "count/deployments.apps": "1"})
    pods = [a_pod("a", cpu="500m"), a_pod("b", cpu="700m"), a_pod("c", "other", cpu="1")]
    done = a_pod("d", phase="Succeeded", cpu="1")
    assert told(quota, *pods, done, a_deployment()) == {
        "pods": "2", "requests.cpu": "1200m", "count/deployments.apps": "1",
    }  # fmt: skip


def test_claims_count_by_the_class_that_a_quota_names() -> None:
    quota = a_quota(hard={"fast.storageclass.storage.k8s.io/requests.storage": "9Gi"})
    claims = [a_claim("a", storage_class="fast"), a_claim("b", storage_class="slow")]
    assert told(quota, *claims) == {"fast.storageclass.storage.k8s.io/requests.storage": "1Gi"}


def test_objects_of_custom_kinds_count_once_their_kind_is_followed() -> None:
    name = f"count/{NAME}"
    quota = a_quota(hard={name: "9"})
    one = replaced(quota, status=replaced(quota.status, hard=quota.spec.hard, used=quota.spec.hard))
    definition = codec.from_tree(CustomResourceDefinition, a_definition()).model
    kind = followed_kind(Resource(GROUP, "v1", "CronTab", "crontabs", is_custom=True))
    metadata = ObjectMeta(name="a", namespace=quota.metadata.namespace)
    crontab = kind(api_version=f"{GROUP}/v1", kind="CronTab", metadata=metadata)
    planner = Quotas()

    def counted(*there: Object) -> list[str]:
        plan = planner.plan(one.ref, StillView([one, *there]), NOW)
        return [
            str(each.object.status.used[name])  # type: ignore[attr-defined]
            for each in plan
            if isinstance(each, UpdateStatus)
        ]

    # What nobody sees yet stays as it was charged; what nobody defines is nothing.
    assert counted(definition, crontab) == []
    assert counted() == ["0"]
    planner.know([kind])
    assert list(planner.keys(crontab, StillView([one, crontab]))) == [one.ref]
    assert counted(definition, crontab) == ["1"]


def test_a_count_that_stands_is_not_written_again() -> None:
    quota = a_quota(hard={"pods": "9"})
    view = StillView([quota, a_pod("a")])
    (update, _) = Quotas().plan(quota.ref, view, NOW)
    assert isinstance(update, UpdateStatus)
    assert told(update.object, a_pod("a")) is None  # type: ignore[arg-type]


def test_a_view_that_is_older_than_the_quota_is_waited_for() -> None:
    quota = seen_at(a_quota(hard={"pods": "9"}), 7)
    assert told(quota, as_of=6) is None
    view = StillView([quota], as_of=6)
    (wait,) = Quotas().plan(quota.ref, view, NOW)
    assert isinstance(wait, RequeueAfter)
    assert wait.after_s < 1
    assert told(quota, as_of=7) == {"pods": "0"}


def test_only_what_gives_back_is_a_reason_to_count() -> None:
    quota, pod = a_quota(hard={"pods": "9"}), a_pod("a")
    done = replaced(pod, status=replaced(pod.status, phase="Failed"))
    planner = Quotas()

    def asked(changed: Pod, *there: Pod) -> bool:
        return quota.ref in list(planner.keys(changed, StillView([quota, *there])))

    assert not asked(pod, pod)
    assert asked(pod)
    assert asked(done, done)
    again = replaced(pod, metadata=replaced(pod.metadata, uid="another"))
    assert asked(pod, again)
    assert list(planner.keys(quota, StillView([quota]))) == [quota.ref]
