"""Which logins fit an image: the Secrets of imagePullSecrets, read as Kubernetes reads them. Pure.

A key of a docker configuration names a registry, or a registry and a path: `registry.example:5000`,
`https://registry.example/team`, `*.registry.example`. It fits an image whose host has as many
parts, each by its pattern, the same port, and a path that begins with the key's. Of several the one
with the longest path is tried first. An image without a registry is Docker Hub's, which is called
`docker.io` in names of images and `https://index.docker.io/v1/` in configurations.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from cubernetes.api.core.data import configdata
from cubernetes.api.core.secret import Secret
from kubelet.runtime.driver import Login

DOCKER_HUB, HUB_KEY = "docker.io", "index.docker.io"
CONFIG_JSON, CONFIG = ".dockerconfigjson", ".dockercfg"
TYPES: Mapping[str, str] = {
    "kubernetes.io/dockerconfigjson": CONFIG_JSON,
    "kubernetes.io/dockercfg": CONFIG,
}
# Logins that are tried for one image, one after another.
LOGINS_MAX = 16


class _Place(NamedTuple):
    """What a key names: a registry's host, its port, and a path; empty is any."""

    host: str
    port: str
    path: str

    def fits(self, image: "_Place") -> bool:
        own, other = self.host.split("."), image.host.split(".")
        return (
            self.port == image.port
            and len(own) == len(other)
            and all(fnmatchcase(part, pattern) for part, pattern in zip(other, own, strict=True))
            and image.path.startswith(self.path)
        )


def logins_for(image: str, secrets: Iterable[Secret]) -> list[Login]:
    """Return the logins that fit an image, the closest fit first; none: it is pulled without.

    Secrets of other types and entries that cannot be read hold none.
    """
    wanted = _place_of_image(image)
    known = [entry for one in secrets for entry in _entries(one)]
    fitting = sorted(
        (entry for entry in known if entry[0].fits(wanted)),
        key=lambda entry: (entry[0].host, entry[0].port, entry[0].path),
        reverse=True,
    )
    if not fitting and wanted.host == DOCKER_HUB:
        fitting = [entry for entry in known if entry[0] == _Place(HUB_KEY, "", "")]
    logins = dict.fromkeys(login for _, login in fitting)
    return list(logins)[:LOGINS_MAX]


def _place_of_image(image: str) -> _Place:
    """Return where an image is: its repository, without its tag or digest."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    name = head + slash + last.partition(":")[0]
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"{DOCKER_HUB}/library/{name}"
    elif first != "localhost" and not {".", ":"} & set(first):
        name = f"{DOCKER_HUB}/{name}"
    return _place(name)


def _place(text: str) -> _Place:
    address, _, path = text.partition("/")
    host, _, port = address.partition(":")
    return _Place(host, port, f"/{path}" if path else "")


def _place_of_key(key: str) -> _Place | None:
    """Return what a key names; /v1/ and /v2/, the interfaces of registries, name no path."""
    try:
        parts = urlsplit(key if key.startswith(("https://", "http://")) else f"https://{key}")
    except ValueError:
        return None
    path = parts.path[3:] if parts.path.startswith(("/v1/", "/v2/")) else parts.path
    return _place(parts.netloc + ("" if path == "/" else path)) if parts.netloc else None


def _entries(secret: Secret) -> Iterator[tuple[_Place, Login]]:
    key = TYPES.get(secret.type)
    if key is None or key not in secret.data:
        return
    try:
        tree: Any = msgspec.json.decode(configdata.decoded(secret.data[key]) or b"")
    except (msgspec.DecodeError, ValueError, RecursionError):
        return
    entries = tree.get("auths") if key == CONFIG_JSON and isinstance(tree, dict) else tree
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        place, login = _place_of_key(name), _login(entry)
        if place is not None and login is not None:
            yield place, login


def _login(entry: object) -> Login | None:
    """Return who an entry says to be; `auth` wins over a user name and a password."""
    if not isinstance(entry, dict):
        return None
    auth, user, password = (entry.get(key) for key in ("auth", "username", "password"))
    if isinstance(auth, str) and auth:
        try:
            text = base64.b64decode(auth.strip() + "=" * (-len(auth.strip()) % 4)).decode()
        except (binascii.Error, ValueError):
            return None
        user, colon, password = text.rstrip("\x00").partition(":")
        return Login(user, password) if colon else None
    if isinstance(user, str) and isinstance(password, str) and user:
        return Login(user, password)
    return None
