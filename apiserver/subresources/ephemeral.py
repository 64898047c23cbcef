"""`pods/ephemeralcontainers`: containers that are added to a pod which runs, to look into it.

Writes add, as in Kubernetes: whatever else of the pod differs in them is left as it stands, and an
ephemeral container that stands may not be changed or left out. Ours is DELETE, which takes one away
again by its name: a verb that Kubernetes has not there, so that no client of its means it.
"""

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.subresources.subresource import Method, Subresource
from apiserver.verbs import apply, read, write
from apiserver.wire.parameters import STRICT_WRITE, TEXT, Parameter
from cubernetes.api import names
from cubernetes.api.coding.refusals import found, invalid
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.ephemeralrules import added_problems
from cubernetes.api.errors import BadRequest, NotFound
from cubernetes.api.meta import Object, replaced
from cubernetes.host.web.messages import Response

FIELD = "spec.ephemeralContainers"


async def update(backend: Backend, call: Call) -> Response:
    return await write.update_by(backend, call, with_added)


async def patch(backend: Backend, call: Call) -> Response:
    return await apply.patch_by(backend, call, with_added)


async def remove(backend: Backend, call: Call) -> Response:
    """Take an ephemeral container out of a pod; its kubelet ends it.

    Raises: BadRequest, NotFound.
    """
    if call.request.body:
        raise BadRequest("it takes no body: the parameter container says what is removed")
    name = call.request.parameter("container")
    if not names.is_label(name):
        raise BadRequest(f"container: must name an ephemeral container: {names.LABEL_RULE}")
    return await write.modify(backend, call, lambda old: _without(old, name))


def with_added(call: Call, new: Object, old: Object) -> Object:
    """Return old with the ephemeral containers of new. Raises: Conflict, Invalid."""
    assert isinstance(old, Pod)  # noqa: S101  the route is of pods
    assert isinstance(new, Pod)  # noqa: S101
    write.check_seen(call, new, old)
    made = _with(old, replaced(old.spec, ephemeral_containers=new.spec.ephemeral_containers))
    made = made.defaulted()
    before, now = old.spec.ephemeral_containers, made.spec.ephemeral_containers
    if problems := found(added_problems(before, now, FIELD)):
        raise invalid(Pod.resource.qualified_kind, call.name, problems, made)
    return made


def _without(old: Object, name: str) -> Pod:
    assert isinstance(old, Pod)  # noqa: S101  the route is of pods
    left = tuple(one for one in old.spec.ephemeral_containers if one.name != name)
    if len(left) == len(old.spec.ephemeral_containers):
        told = f'pod "{old.metadata.name}" has no ephemeral container "{name}"'
        raise NotFound(told, kind=Pod.resource.plural, name=old.metadata.name)
    return _with(old, replaced(old.spec, ephemeral_containers=left))


def _with(old: Pod, spec: object) -> Pod:
    return replaced(old, spec=spec, metadata=replaced(old.metadata, resource_version=""))


WHICH = Parameter("container", TEXT, "Which of the pod's ephemeral containers is removed.")
# There is nothing in it that could be unknown, and it does not wait.
REMOVAL_REFUSED = {"gracePeriodSeconds": "", "propagationPolicy": "", "orphanDependents": ""}
EPHEMERAL = Subresource(
    "ephemeralcontainers",
    (
        Method("GET", "get", read.get),
        Method("PUT", "update", update),
        Method("PATCH", "patch", patch),
        Method(
            "DELETE", "delete", remove, (*STRICT_WRITE, WHICH), answer=Pod, refused=REMOVAL_REFUSED
        ),
    ),
)
