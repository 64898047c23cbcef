"""ComponentStatus: whether a part of the control plane is well, as older clients ask for it."""

from cubernetes.api.condition import Truth
from cubernetes.api.meta import Column, Model, Object, shown
from cubernetes.api.resource import Resource


class ComponentCondition(Model):
    """Whether the part is well.

    type: `Healthy`.
    status: whether it is.
    message: what was found.
    error: nothing; Kubernetes has the field.
    """

    type: str = shown("Healthy")
    status: Truth = shown("Unknown")
    message: str = ""
    error: str = ""


def _cell(field: str) -> "Column":
    def found(one: "ComponentStatus", _: object) -> str:
        return str(getattr(one.conditions[0], field)) if one.conditions else ""

    title = {"status": "Status", "message": "Message", "error": "Error"}[field]
    return Column(title, found)


def _status(one: "ComponentStatus", _: object) -> str:
    words = {"True": "Healthy", "False": "Unhealthy", "Unknown": "Unknown"}
    return words[one.conditions[0].status] if one.conditions else "Unknown"


class ComponentStatus(Object):
    """A part of the control plane, as the API server finds it when it is asked.

    conditions: whether it is well.
    """

    resource = Resource(
        "",
        "v1",
        "ComponentStatus",
        "componentstatuses",
        ("cs",),
        namespaced=False,
        verbs=("get", "list"),
    )
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Status", _status),
        _cell("message"),
        _cell("error"),
    )

    api_version: str = shown("v1")
    kind: str = shown("ComponentStatus")
    conditions: tuple[ComponentCondition, ...] = ()
