"""CustomResourceDefinition: a kind that the cluster is given while it runs."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self, cast

import msgspec

from cubernetes.api import names
from cubernetes.api.condition import Condition
from cubernetes.api.custom import structural
from cubernetes.api.errors import Problem
from cubernetes.api.meta import (
    Column,
    Count,
    Instant,
    Model,
    Object,
    age_of,
    immutable,
    replaced,
    shown,
    wire,
)
from cubernetes.api.notation.jsonpath import Malformed, path_of
from cubernetes.api.resource import Resource

# The objects go before their definition does.
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
APPROVAL = "api-approved.kubernetes.io"
VERSIONS_MAX, COLUMNS_MAX, SELECTABLE_MAX = 50, 100, 8
FIELD_PATH = re.compile(r"(\.[A-Za-z0-9_-]+)+")
SUBRESOURCE_PATHS = (
    ("spec_replicas_path", "specReplicasPath", ".spec."),
    ("status_replicas_path", "statusReplicasPath", ".status."),
    ("label_selector_path", "labelSelectorPath", ""),
)


class CustomResourceDefinitionNames(Model):
    """How the kind is called.

    plural: its name in paths; with the group it is the definition's name.
    singular: as people call one; the kind in lower case where it is not said.
    kind: its name in manifests.
    short_names: shorter words for people.
    list_kind: the kind of its lists; `KINDList` where it is not said.
    categories: groups of kinds that people list together, such as `all`.
    """

    plural: str
    kind: str
    singular: str = ""
    short_names: tuple[str, ...] = ()
    list_kind: str = ""
    categories: tuple[str, ...] = ()


class CustomResourceValidation(Model):
    """What an object of a version may have.

    open_apiv3_schema: a structural schema: types, bounds, defaults of fields; what it does not know
        is pruned.
    """

    open_apiv3_schema: Mapping[str, Any] = wire("openAPIV3Schema", {})


class CustomResourceSubresourceStatus(Model):
    """The status is written apart, at /status."""


class CustomResourceSubresourceScale(Model):
    """The size is read and written at /scale.

    spec_replicas_path: where the wanted size stands: `.spec.replicas`.
    status_replicas_path: where the found size stands: `.status.replicas`.
    label_selector_path: where a selector of its pods stands, as a text.
    """

    spec_replicas_path: str
    status_replicas_path: str
    label_selector_path: str = ""


class CustomResourceSubresources(Model):
    """What an object has beside itself.

    status: an empty object where the status is written apart.
    scale: where its size stands.
    """

    status: CustomResourceSubresourceStatus | None = None
    scale: CustomResourceSubresourceScale | None = None


class CustomResourceColumnDefinition(Model):
    """A column that `get` prints.

    name: its title.
    type: of its values; a date is shown as an age.
    json_path: where its value stands: `.spec.replicas`.
    format: how its values are written; kept for clients.
    description: what it tells; kept for clients.
    priority: 0 is always shown, more only with -o wide.
    """

    name: str
    type: Literal["string", "integer", "number", "boolean", "date"]
    json_path: str = wire("jsonPath", "")
    format: str = ""
    description: str = ""
    priority: Count = 0


class SelectableField(Model):
    """A field that a fieldSelector may name.

    json_path: where it stands: `.spec.color`.
    """

    json_path: str


class CustomResourceDefinitionVersion(Model):
    """One version of the kind.

    name: of the version, such as `v1`.
    served: whether clients may use it.
    storage: whether objects are stored in it; one version is.
    deprecated: whether clients are told to leave it.
    deprecation_warning: what they are told; a sentence about the version where it is not said.
    schema: what an object of it may have.
    subresources: what an object has beside itself.
    additional_printer_columns: what `get` prints beside the name; without any the age.
    selectable_fields: what a fieldSelector may name beside the name.
    """

    name: str
    served: bool
    storage: bool
    deprecated: bool = False
    deprecation_warning: str = ""
    schema: CustomResourceValidation = msgspec.field(default_factory=CustomResourceValidation)
    subresources: CustomResourceSubresources | None = None
    additional_printer_columns: tuple[CustomResourceColumnDefinition, ...] = ()
    selectable_fields: tuple[SelectableField, ...] = ()


class CustomResourceConversion(Model):
    """How an object of one version is shown as another.

    strategy: None, by which the apiVersion alone changes; Webhook is not built.
    webhook: refused.
    """

    strategy: str = shown("None")
    webhook: Mapping[str, Any] = msgspec.field(default_factory=dict)


class CustomResourceDefinitionSpec(Model):
    """The kind that is wanted.

    group: the API group that it is in: a domain.
    names: how it is called.
    scope: whether its objects are in namespaces.
    versions: of which it has several where clients of several ages use it.
    conversion: how an object of one version is shown as another.
    preserve_unknown_fields: false; a schema says so itself, where it keeps what it does not know.
    """

    group: str
    names: CustomResourceDefinitionNames
    scope: Literal["Namespaced", "Cluster"]
    versions: tuple[CustomResourceDefinitionVersion, ...]
    conversion: CustomResourceConversion = msgspec.field(default_factory=CustomResourceConversion)
    preserve_unknown_fields: bool = False


class CustomResourceDefinitionStatus(Model):
    """What has become of the kind.

    conditions: whether its names were accepted, whether it is served, whether it goes.
    accepted_names: the names that are served.
    stored_versions: versions that objects were stored in.
    """

    conditions: tuple[Condition, ...] = ()
    accepted_names: CustomResourceDefinitionNames = msgspec.field(
        default_factory=lambda: CustomResourceDefinitionNames(plural="", kind="")
    )
    stored_versions: tuple[str, ...] = ()


class CustomResourceDefinition(Object):
    resource: ClassVar[Resource] = Resource(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        ("crd", "crds"),
        namespaced=False,
        subresources=("status",),
        categories=("api-extensions",),
    )
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Created At", lambda one, _: _instant(one.metadata.creation_timestamp)),
        Column("Age", age_of, wide=True),
    )

    spec: CustomResourceDefinitionSpec
    api_version: str = shown("apiextensions.k8s.io/v1")
    kind: str = shown("CustomResourceDefinition")
    status: CustomResourceDefinitionStatus = msgspec.field(
        default_factory=CustomResourceDefinitionStatus
    )

    @property
    def stored_version(self) -> str:
        return next((one.name for one in self.spec.versions if one.storage), "")

    def defaulted(self) -> Self:
        called = self.spec.names
        called = replaced(
            called,
            singular=called.singular or called.kind.lower(),
            list_kind=called.list_kind or f"{called.kind}List",
        )
        return replaced(Object.defaulted(self), spec=replaced(self.spec, names=called))

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        spec = self.spec
        wanted = f"{spec.names.plural}.{spec.group}"
        if self.metadata.name != wanted:
            yield Problem("metadata.name", f'must be spec.names.plural+"."+spec.group: {wanted}')
        yield from _group_problems(spec.group, self.metadata.annotations)
        yield from _name_problems(spec.names)
        yield from _version_problems(spec.versions)
        conversion = spec.conversion
        if conversion.strategy != "None":
            told = "conversion by a webhook is not built: use strategy None"
            if conversion.strategy != "Webhook":
                told = 'supported values: "None"'
            yield Problem("spec.conversion.strategy", told, "FieldValueNotSupported")
        elif conversion.webhook:
            told = "should not be set when strategy is not set to Webhook"
            yield Problem("spec.conversion.webhook", told, "FieldValueForbidden")
        if spec.preserve_unknown_fields:
            told = (
                "must be false; set x-kubernetes-preserve-unknown-fields to true in the schema "
                "of a field instead"
            )
            yield Problem("spec.preserveUnknownFields", told)

    def update_problems(self, old: Self) -> Iterator[Problem]:
        yield from Object.update_problems(self, old)
        before, now = old.spec, self.spec
        yield from immutable("spec.group", before.group, now.group)
        yield from immutable("spec.names.plural", before.names.plural, now.names.plural)
        yield from immutable("spec.scope", before.scope, now.scope)
        yield from immutable("spec.names.kind", before.names.kind, now.names.kind)
        known = {one.name for one in now.versions}
        for at, name in enumerate(self.status.stored_versions):
            if name not in known:
                told = f"must appear in spec.versions: {name} is stored"
                yield Problem(f"status.storedVersions[{at}]", told)

    def advice(self) -> Iterator[str]:
        for one in self.spec.versions:
            if structural.unenforced(one.schema.open_apiv3_schema):
                yield (
                    f"spec.versions: {one.name}: x-kubernetes-validations are kept and shown, and "
                    "not enforced: rules in CEL are not built"
                )


def _instant(at: Instant | None) -> str:
    return "" if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _group_problems(group: str, annotations: Mapping[str, str]) -> Iterator[Problem]:
    if not names.is_subdomain(group):
        yield Problem("spec.group", names.SUBDOMAIN_RULE)
    elif "." not in group:
        yield Problem("spec.group", "should be a domain with at least one dot")
    is_protected = group.endswith((".k8s.io", ".kubernetes.io")) or group in (
        "k8s.io",
        "kubernetes.io",
    )
    if is_protected and APPROVAL not in annotations:
        told = (
            f'protected groups must have approval annotation "{APPROVAL}", '
            "see https://github.com/kubernetes/enhancements/pull/1111"
        )
        yield Problem(f"metadata.annotations[{APPROVAL}]", told, "FieldValueRequired")


def _name_problems(called: CustomResourceDefinitionNames) -> Iterator[Problem]:
    for field, word in (
        ("plural", called.plural),
        ("singular", called.singular),
        ("kind", called.kind.lower()),
        ("listKind", called.list_kind.lower()),
    ):
        if not names.is_label(word):
            yield Problem(f"spec.names.{field}", names.LABEL_RULE)
    for field, words in (("shortNames", called.short_names), ("categories", called.categories)):
        for at, word in enumerate(words):
            if not names.is_label(word):
                yield Problem(f"spec.names.{field}[{at}]", names.LABEL_RULE)
    if called.list_kind and called.kind == called.list_kind:
        yield Problem("spec.names.listKind", "kind and listKind may not be the same")


def _version_problems(versions: tuple[CustomResourceDefinitionVersion, ...]) -> Iterator[Problem]:
    if len(versions) > VERSIONS_MAX:
        yield Problem(
            "spec.versions", f"must have at most {VERSIONS_MAX} items", "FieldValueTooMany"
        )
        return
    if sum(one.storage for one in versions) != 1:
        yield Problem("spec.versions", "must have exactly one version marked as storage version")
    seen: set[str] = set()
    for at, one in enumerate(versions):
        field = f"spec.versions[{at}]"
        if not names.is_label(one.name):
            yield Problem(f"{field}.name", names.LABEL_RULE)
        elif one.name in seen:
            yield Problem(f"{field}.name", "", "FieldValueDuplicate")
        seen.add(one.name)
        if one.deprecation_warning and not one.deprecated:
            told = "can only be set for deprecated versions"
            yield Problem(f"{field}.deprecationWarning", told)
        if not one.schema.open_apiv3_schema:
            told = "schemas are required"
            yield Problem(f"{field}.schema.openAPIV3Schema", told, "FieldValueRequired")
        else:
            where = f"{field}.schema.openAPIV3Schema"
            yield from structural.schema_problems(one.schema.open_apiv3_schema, where)
        yield from _part_problems(one, field)


def _part_problems(one: CustomResourceDefinitionVersion, field: str) -> Iterator[Problem]:
    if one.subresources is not None and one.subresources.scale is not None:
        yield from _scale_problems(one.subresources.scale, f"{field}.subresources.scale")
    columns, selectable = one.additional_printer_columns, one.selectable_fields
    for listed, most, word in (
        (columns, COLUMNS_MAX, "additionalPrinterColumns"),
        (selectable, SELECTABLE_MAX, "selectableFields"),
    ):
        if len(listed) > most:
            told = f"must have at most {most} items"
            yield Problem(f"{field}.{word}", told, "FieldValueTooMany")
        paths = [cast(Any, each).json_path for each in listed[:most]]
        for at, path in enumerate(paths):
            yield from _path_problems(path, f"{field}.{word}[{at}].jsonPath")


def _scale_problems(scale: CustomResourceSubresourceScale, field: str) -> Iterator[Problem]:
    for name, wire_name, begin in SUBRESOURCE_PATHS:
        text, where = getattr(scale, name), f"{field}.{wire_name}"
        if not text and name != "label_selector_path":
            yield Problem(where, "", "FieldValueRequired")
        elif text and not text.startswith(begin or (".spec.", ".status.")):
            told = f"should be a json path under {begin or '.status or .spec'}"
            yield Problem(where, told)
        elif text and not FIELD_PATH.fullmatch(text):
            yield Problem(where, "should be names of fields, one below the other")


def _path_problems(text: str, field: str) -> Iterator[Problem]:
    if not text:
        yield Problem(field, "", "FieldValueRequired")
        return
    try:
        path_of(text)
    except (Malformed, ValueError) as error:
        yield Problem(field, f"is no JSON path: {error}")
