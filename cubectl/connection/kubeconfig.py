"""Where the API server is, and as which user: by kubeconfig files and the command line."""

import base64
import binascii
import json
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

DEFAULT_PATHS = ("~/.kube/config", "/etc/cubernetes/admin.conf")
SIZE_BYTES_MAX = 1024 * 1024


class KubeconfigWrong(Exception):
    """A file is missing or malformed, or names something that is not in it."""


class Access(NamedTuple):
    """How to reach a cluster. ca, cert and key are PEM; empty cert and token is nobody."""

    server: str
    ca: bytes = b""
    cert: bytes = b""
    key: bytes = b""
    token: str = ""
    namespace: str = "default"
    server_name: str = ""
    source: str = ""
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Say where it leads, and no secret."""
        return f"Access({self.server!r}, source={self.source!r})"


def access_by(
    environment: Mapping[str, str], *, path: str = "", context: str = "", server: str = ""
) -> Access:
    """Return the access of a context: of --kubeconfig, else $KUBECONFIG, else the usual places.

    Raises: KubeconfigWrong.
    """
    paths = _paths(environment, path)
    if paths or not server:
        access = _from_files(files_of(environment, path), context)
    else:
        access = Access(server="")
    return access._replace(server=server) if server else access


def files_of(environment: Mapping[str, str], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Return the files that are looked at, with what they say. Raises: KubeconfigWrong."""
    paths = _paths(environment, path)
    if not paths:
        looked = ", ".join(DEFAULT_PATHS)
        raise KubeconfigWrong(f"no kubeconfig: none of {looked} exists; use --kubeconfig")
    return [(one, _tree_of(one)) for one in paths]


def _paths(environment: Mapping[str, str], path: str) -> list[str]:
    if path:
        return [os.path.expanduser(path)]
    listed = [one for one in environment.get("KUBECONFIG", "").split(os.pathsep) if one]
    if listed:
        found = [os.path.expanduser(one) for one in listed]
        # As kubectl: of several files, those that are not there are passed over.
        return [one for one in found if os.path.exists(one)] or found[:1]
    usual = [os.path.expanduser(one) for one in DEFAULT_PATHS]
    return [one for one in usual if os.path.exists(one)][:1]


def _from_files(files: "_Files", context_name: str) -> Access:
    chosen = context_name or _first_text(files, "current-context")
    if not chosen:
        raise KubeconfigWrong(f"{files[0][0]}: current-context: is empty; use --context")
    home, context = _entry(files, "contexts", "context", chosen)
    cluster_home, cluster = _entry(files, "clusters", "cluster", _text(home, context, "cluster"))
    user_home, user = _entry(files, "users", "user", _text(home, context, "user"))
    server = _text(cluster_home, cluster, "server")
    return Access(
        server=server,
        ca=_pem(cluster_home, cluster, "certificate-authority"),
        cert=_pem(user_home, user, "client-certificate"),
        key=_pem(user_home, user, "client-key"),
        token=str(user.get("token", "")),
        namespace=str(context.get("namespace") or "default"),
        server_name=str(cluster.get("tls-server-name", "")),
        source=cluster_home,
        warnings=_warnings(user_home, user),
    )


def _tree_of(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            content = file.read(SIZE_BYTES_MAX + 1)
    except OSError as error:
        raise KubeconfigWrong(f"{path}: {error.strerror}") from error
    if len(content) > SIZE_BYTES_MAX:
        raise KubeconfigWrong(f"{path}: over {SIZE_BYTES_MAX} bytes")
    tree = _json_of(content) if content.lstrip()[:1] == b"{" else None
    return tree if tree is not None else _yaml_of(path, content)


def _json_of(content: bytes) -> dict[str, Any] | None:
    try:
        tree = json.loads(content)
    except ValueError:
        return None
    return tree if isinstance(tree, dict) else None


def _yaml_of(path: str, content: bytes) -> dict[str, Any]:
    from cubernetes.api.errors import BadRequest
    from cubernetes.api.notation import yaml

    try:
        return yaml.tree_of(content)
    except BadRequest as error:
        raise KubeconfigWrong(f"{path}: {error.message}") from error


type _Files = Sequence[tuple[str, dict[str, Any]]]


def _first_text(files: _Files, field_name: str) -> str:
    return next((str(tree[field_name]) for _, tree in files if tree.get(field_name)), "")


def _entry(files: _Files, many: str, one: str, name: str) -> tuple[str, dict[str, Any]]:
    """Return a named entry, and the file it is in: paths in it are relative to that."""
    for path, tree in files:
        entries = tree.get(many) or []
        for entry in entries if isinstance(entries, list) else []:
            inner = entry.get(one) if isinstance(entry, dict) else None
            if isinstance(inner, dict) and entry.get("name") == name:
                return path, inner
    raise KubeconfigWrong(f"{files[0][0]}: {many}: there is no {one} {name!r}")


def _text(path: str, tree: Mapping[str, Any], field_name: str) -> str:
    value = tree.get(field_name)
    if not isinstance(value, str) or not value:
        raise KubeconfigWrong(f"{path}: {field_name}: is required")
    return value


def _pem(home: str, tree: Mapping[str, Any], field_name: str) -> bytes:
    """Return what a field holds: its data, or the file that it names."""
    data = tree.get(f"{field_name}-data")
    if data:
        try:
            return base64.b64decode(str(data), validate=True)
        except binascii.Error as error:
            raise KubeconfigWrong(f"{home}: {field_name}-data: is not base64") from error
    named = tree.get(field_name)
    if not named:
        return b""
    path = os.path.join(os.path.dirname(home), os.path.expanduser(str(named)))
    try:
        with open(path, "rb") as file:
            return file.read(SIZE_BYTES_MAX)
    except OSError as error:
        raise KubeconfigWrong(f"{home}: {field_name}: {path}: {error.strerror}") from error


def _warnings(home: str, user: Mapping[str, Any]) -> tuple[str, ...]:
    is_secret = bool(user.get("client-key-data") or user.get("token"))
    is_open = bool(os.stat(home).st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    if is_secret and is_open:
        return (f"{home} holds a secret that other users of this machine may read: chmod 600",)
    return ()
