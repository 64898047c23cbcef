"""Secret: what a program must know and nobody else: passwords, keys, tokens."""

import json
from collections.abc import Iterator, Mapping

import msgspec

from cubernetes.api.core.data import configdata
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Column, Object, age_of, immutable, replaced, shown
from cubernetes.api.meta import text_field as text
from cubernetes.api.resource import Resource

ACCOUNT_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105  a type, no token
TLS = "kubernetes.io/tls"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
# The keys that a type of secret must have, by Kubernetes' rules.
REQUIRED_KEYS: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    TLS: ("tls.crt", "tls.key"),
}
JSON_KEYS = frozenset({".dockercfg", ".dockerconfigjson"})
BASIC_AUTH, BASIC_AUTH_KEYS = "kubernetes.io/basic-auth", ("username", "password")


class Secret(Object):
    """What a program must know and nobody else; at most 1 MiB of values in all.

    data: bytes by key, in base64.
    string_data: texts by key, for writing only: they are put into `data`, over what is there.
    type: what it is for; some types must have certain keys. It never changes.
    immutable: the data never change again; the object may only be deleted.
    """

    resource = Resource("", "v1", "Secret", "secrets")
    columns = (
        Column("Name", lambda one, _: one.metadata.name),
        Column("Type", lambda one, _: one.type),
        Column("Data", lambda one, _: len(one.data)),
        Column("Age", age_of),
    )
    selectable = {"type": text("type")}

    api_version: str = shown("v1")
    kind: str = shown("Secret")
    data: Mapping[str, str] = msgspec.field(default_factory=dict)
    string_data: Mapping[str, str] = msgspec.field(default_factory=dict)
    type: str = shown("Opaque")
    immutable: bool | None = None

    def defaulted(self) -> "Secret":
        """Put the texts into the data; a type that is left empty is Opaque."""
        texts = {key: configdata.encoded(one.encode()) for key, one in self.string_data.items()}
        data = configdata.canonical(self.data) | texts
        return replaced(self, data=data, string_data={}, type=self.type or "Opaque")

    def problems(self) -> Iterator[Problem]:
        yield from Object.problems(self)
        yield from configdata.key_problems(self.data, "data")
        yield from configdata.base64_problems(self.data, "data")
        yield from configdata.size_problems(configdata.decoded_bytes(self.data), "data")
        yield from self._type_problems()

    def _type_problems(self) -> Iterator[Problem]:
        for key in REQUIRED_KEYS.get(self.type, ()):
            if key not in self.data:
                yield Problem(f"data[{key}]", "is required", "FieldValueRequired")
            elif key in JSON_KEYS and not _is_json(configdata.decoded(self.data[key]) or b""):
                # The value is secret: the message does not repeat it.
                yield Problem(f"data[{key}]", "<secret contents redacted>: must be JSON")
        if self.type == BASIC_AUTH and not any(key in self.data for key in BASIC_AUTH_KEYS):
            message = "username or password is required"
            yield Problem("data[username]", message, "FieldValueRequired")
        if self.type == ACCOUNT_TOKEN and not self.metadata.annotations.get(ACCOUNT_NAME):
            field = f"metadata.annotations[{ACCOUNT_NAME}]"
            yield Problem(field, "is required", "FieldValueRequired")

    def update_problems(self, old: "Secret") -> Iterator[Problem]:
        yield from immutable("type", old.type, self.type)
        parts = {"data": (old.data, self.data)}
        yield from configdata.frozen_problems(old.immutable, self.immutable, parts)


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True
