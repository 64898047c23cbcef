"""Objects by a few words, as kubectl's generators make them: `create configmap` and more.

What is read of files is read before. Raises, where it says so: Misused.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence

from cubectl.session import Misused
from cubernetes.api.notation.jsontext import Tree

SERVICE_TYPES: Mapping[str, str] = {
    "clusterip": "ClusterIP",
    "nodeport": "NodePort",
    "loadbalancer": "LoadBalancer",
    "externalname": "ExternalName",
}
PORT_MAX = 65535
RBAC = "rbac.authorization.k8s.io"
DOCKER_TYPE, DOCKER_KEY = "kubernetes.io/dockerconfigjson", ".dockerconfigjson"
DOCKER_HUB = "https://index.docker.io/v1/"


def namespace_tree(name: str) -> Tree:
    return _tree("v1", "Namespace", name)


def configmap_tree(name: str, data: Mapping[str, bytes]) -> Tree:
    """Return a ConfigMap; what is no text stands in its binaryData."""
    texts: dict[str, str] = {}
    others: dict[str, str] = {}
    for key, content in data.items():
        try:
            texts[key] = content.decode()
        except UnicodeDecodeError:
            others[key] = b64encode(content).decode()
    more = {field: part for field, part in (("data", texts), ("binaryData", others)) if part}
    return {**_tree("v1", "ConfigMap", name), **more}


def secret_tree(name: str, data: Mapping[str, bytes], kind: str) -> Tree:
    encoded = {key: b64encode(content).decode() for key, content in data.items()}
    return {**_tree("v1", "Secret", name), "type": kind, **({"data": encoded} if encoded else {})}


def registry_secret_tree(name: str, server: str, user: str, password: str, email: str) -> Tree:
    """Return a Secret with a login at a registry, as pods' `imagePullSecrets` take it."""
    auth = b64encode(f"{user}:{password}".encode()).decode()
    login = {"username": user, "password": password, "email": email, "auth": auth}
    told = {field: text for field, text in login.items() if text}
    content = json.dumps({"auths": {server: told}}).encode()
    return secret_tree(name, {DOCKER_KEY: content}, DOCKER_TYPE)


def account_tree(name: str) -> Tree:
    return _tree("v1", "ServiceAccount", name)


def role_tree(
    name: str,
    verbs: Sequence[str],
    resources: Sequence[tuple[str, str]],
    names: Sequence[str],
    urls: Sequence[str] | None = None,
) -> Tree:
    """Return a Role, or a ClusterRole where urls are not None: a rule for each group.

    resources: each with its group. names: the only objects that are meant. urls: other paths.

    Raises: Misused.
    """
    allowed = ["*"] if "*" in verbs else list(dict.fromkeys(verbs))
    if not allowed:
        raise Misused("at least one verb must be specified")
    if not resources and not urls:
        raise Misused("at least one resource must be specified")
    if names and len(resources) != 1:
        raise Misused("--resource-name: with one --resource alone")
    rules: list[Tree] = []
    for group in sorted({group for _, group in resources}):
        mine = list(dict.fromkeys(word for word, one in resources if one == group))
        rule: Tree = {"verbs": allowed, "apiGroups": [group], "resources": mine}
        rules.append(rule | ({"resourceNames": list(names)} if names else {}))
    if urls:
        rules.append({"verbs": allowed, "nonResourceURLs": list(urls)})
    kind = "Role" if urls is None else "ClusterRole"
    return {**_tree(f"{RBAC}/v1", kind, name), "rules": rules}


def binding_tree(
    kind: str, name: str, role: tuple[str, str], subjects: Mapping[str, Sequence[str]]
) -> Tree:
    """Return a RoleBinding or ClusterRoleBinding; role: its kind and name.

    subjects: names by `User`, `Group` and `ServiceAccount`; an account as NAMESPACE:NAME.

    Raises: Misused.
    """
    who: list[Tree] = []
    for word in ("User", "Group"):
        who += [{"kind": word, "apiGroup": RBAC, "name": one} for one in subjects.get(word, ())]
    for text in subjects.get("ServiceAccount", ()):
        place, _, account = text.partition(":")
        if not place or not account or ":" in account:
            raise Misused(f"--serviceaccount: {text[:80]!r}: write NAMESPACE:NAME")
        who.append({"kind": "ServiceAccount", "name": account, "namespace": place})
    ref = {"apiGroup": RBAC, "kind": role[0], "name": role[1]}
    return {**_tree(f"{RBAC}/v1", kind, name), "subjects": who, "roleRef": ref}


def service_tree(name: str, word: str, ports: Sequence[str], external_name: str) -> Tree:
    """Return a Service for pods with the label app=NAME; ports: `80` or `80:8080`.

    Raises: Misused.
    """
    kind = SERVICE_TYPES.get(word)
    if kind is None:
        raise Misused(f"service {word[:40]!r}: write one of {', '.join(SERVICE_TYPES)}")
    spec: Tree = {"type": kind}
    if kind == "ExternalName":
        if not external_name:
            raise Misused('required flag(s) "external-name" not set')
        spec["externalName"] = external_name
    else:
        spec["selector"] = {"app": name}
        if not ports:
            raise Misused("at least one tcp port specifier must be provided: --tcp=80:8080")
    if ports:
        spec["ports"] = [_port(text) for text in ports]
    return {**_tree("v1", "Service", name, {"app": name}), "spec": spec}


def quota_tree(name: str, hard: str) -> Tree:
    """Raises: Misused."""
    return {**_tree("v1", "ResourceQuota", name), "spec": {"hard": pairs_of(hard, "--hard")}}


def priority_class_tree(name: str, value: int, description: str, *, is_default: bool) -> Tree:
    tree = _tree("scheduling.k8s.io/v1", "PriorityClass", name)
    return tree | {"value": value, "description": description, "globalDefault": is_default}


def budget_tree(name: str, selector: str, least: str, most: str) -> Tree:
    """Return a PodDisruptionBudget. Raises: Misused."""
    if bool(least) == bool(most):
        raise Misused("one of min-available or max-unavailable must be specified")
    field, text = ("minAvailable", least) if least else ("maxUnavailable", most)
    spec: Tree = {"selector": {"matchLabels": pairs_of(selector, "--selector")}}
    spec[field] = int(text) if text.isascii() and text.isdigit() else text
    return {**_tree("policy/v1", "PodDisruptionBudget", name), "spec": spec}


def pairs_of(text: str, flag: str) -> dict[str, str]:
    """Return `a=1,b=2` as a mapping. Raises: Misused."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not pairs or not all(key and sign for key, sign, _ in pairs):
        raise Misused(f"{flag}: {text[:80]!r}: write KEY=VALUE, with commas between them")
    return {key: value for key, _, value in pairs}


def _port(text: str) -> Tree:
    port, sign, target = text.partition(":")
    numbers = (port, target if sign else port)
    if not all(_is_port(part) for part in numbers):
        raise Misused(f"--tcp: {text[:40]!r}: write PORT or PORT:TARGET, from 1 to {PORT_MAX}")
    return {
        "name": "-".join(numbers) if sign else port,
        "port": int(port),
        "protocol": "TCP",
        "targetPort": int(numbers[1]),
    }


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text[:6]) <= PORT_MAX


def _tree(version: str, kind: str, name: str, labels: Mapping[str, str] | None = None) -> Tree:
    metadata: Tree = {"name": name, **({"labels": dict(labels)} if labels else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}
