"""Objects by a few words, as kubectl's generators make them: `create configmap` and more.

What is read of files is read before. Raises, where it says so: Misused.
"""

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
