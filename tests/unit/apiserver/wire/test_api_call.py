"""Parameters, media types, continue tokens and stamps: small things that strangers send."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.call import media_of
from apiserver.strategies import metadata as stamps
from apiserver.strategies.metadata import (
    Stamp,
    generated_name,
    revision_of,
    with_initial_metadata,
    with_server_fields,
)
from apiserver.wire.bodies import warned, warning_header
from apiserver.wire.forms import Accepted, accepted
from apiserver.wire.pages import Position, place_of, token_of
from cubernetes.api import names
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.errors import BadRequest, NotAcceptable, UnsupportedMediaType
from cubernetes.api.meta import ObjectMeta
from cubernetes.host.web.messages import ANONYMOUS, Identity, Response, identity_of

NOW = datetime(2026, 1, 1, 12, 0, 0, 999, tzinfo=UTC)


def a_pod(**metadata: object) -> Pod:
    meta = ObjectMeta(**metadata)  # type: ignore[arg-type]
    return Pod(metadata=meta, spec=PodSpec(containers=(Container(name="c", image="i"),)))


@pytest.mark.parametrize(
    ("accept", "shape", "notation"),
    [
        ("", "whole", "json"),
        ("*/*", "whole", "json"),
        ("application/json", "whole", "json"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "table", "json"),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", "whole", "json"),
        ("application/json, */*", "whole", "json"),
        ("application/vnd.kubernetes.protobuf, application/json", "whole", "json"),
        ("application/json;as=APIGroupDiscoveryList;v=v2,application/json", "whole", "json"),
        (
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,"
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
            "metadata",
            "json",
        ),
        ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "metadata", "json"),
        ("application/yaml", "whole", "yaml"),
        ("text/html, application/yaml, application/json", "whole", "yaml"),
    ],
)
def test_the_first_form_that_we_have_is_given(accept: str, shape: str, notation: str) -> None:
    assert accepted(accept) == Accepted(shape, notation)  # type: ignore[arg-type]


def test_nothing_that_we_have_is_not_acceptable() -> None:
    for accept in ("text/html", "application/json;as=Table;v=v1beta1"):
        with pytest.raises(NotAcceptable):
            accepted(accept)


def test_media_types() -> None:
    assert media_of("") == "application/json"
    assert media_of("Application/JSON; charset=UTF-8") == "application/json"
    assert media_of("application/yaml") == "application/yaml"
    with pytest.raises(UnsupportedMediaType):
        media_of("application/json; charset=utf-16")


@given(
    revision=st.integers(1, 2**63 - 1),
    name=st.text("abcdefghijklmnopqrstuvwxyz0123456789-/.", max_size=50),
)
def test_a_place_survives_its_token(revision: int, name: str) -> None:
    place = Position(revision, "/cubernetes/pods/" + name)
    assert place_of(token_of(place), "/cubernetes/pods/") == place
    with pytest.raises(BadRequest):
        place_of(token_of(place), "/cubernetes/nodes/")


@given(st.text(max_size=100))
def test_a_forged_token_is_refused(token: str) -> None:
    with pytest.raises(BadRequest):
        place_of(token, "/cubernetes/pods/default/")


@given(prefix=st.from_regex(r"[a-z]([-a-z0-9]{0,80})", fullmatch=True))
def test_a_generated_name_is_never_longer_than_a_label(prefix: str) -> None:
    name = generated_name(prefix, "bcdfg")
    assert len(name) <= names.LABEL_MAX
    assert names.is_label(name)


def test_what_is_the_servers_is_stamped_whatever_its_author_wrote() -> None:
    forged = a_pod(uid="forged", generation=9, deletion_timestamp=NOW, name="x")
    made = with_initial_metadata(forged, Stamp("x", "default", "real", NOW)).metadata

    assert (made.uid, made.generation, made.deletion_timestamp) == ("real", 1, None)
    assert made.creation_timestamp == NOW.replace(microsecond=0)


def test_an_update_may_leave_out_what_is_the_servers() -> None:
    old = with_initial_metadata(a_pod(), Stamp("x", "default", "u", NOW))
    kept = with_server_fields(old, a_pod(name="x"))

    assert kept == old
    assert list(stamps.metadata_problems(old.metadata, kept.metadata)) == []


@pytest.mark.parametrize("text", ["abc", "-1", "9" * 20, "1.5", "\u0661"])
def test_a_strange_revision_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        revision_of(ObjectMeta(resource_version=text))


def test_warnings_cannot_break_out_of_their_header() -> None:
    header = warning_header(('say "hi"\r\nX: y',))["Warning"]

    assert header == '299 - "say \\"hi\\"X: y"'
    assert warning_header(()) == {}


def test_warnings_of_several_sources_fit_the_header_that_clients_read() -> None:
    wide = "\N{SNOWMAN}" * 1500
    response = Response(200, b"", {})
    for letter in "abc":
        response = warned(response, (f"{letter}{wide}", "short"))
    header = response.headers["Warning"]

    assert len(header.encode()) <= 8000
    assert header.startswith('299 - "a')
    assert header.endswith('"')


def test_a_certificate_says_who() -> None:
    peer = {
        "subject": (
            (("commonName", "system:node:n1"),),
            (("organizationName", "system:nodes"),),
            (("organizationName", "more"),),
        )
    }
    assert identity_of(peer) == Identity("system:node:n1", ("system:nodes", "more"))
    with_serial = identity_of({**peer, "serialNumber": "0A1B"})
    assert with_serial == Identity("system:node:n1", ("system:nodes", "more"), "A1B")
    assert identity_of({}) == ANONYMOUS
    twice = {"subject": ((("commonName", "a"),), (("commonName", "b"),))}
    assert identity_of(twice) == ANONYMOUS
