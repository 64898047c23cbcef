"""Names and labels that the platform gives to what it makes. Pure."""

import hashlib
import hmac
from functools import lru_cache

import msgspec

from cubernetes.api.serverless.function import Function, FunctionSpec

# The namespace of all instances: a function's users have no rights there.
INSTANCES_NAMESPACE = "cube-serverless"
# Labels of an instance's pod: which function it is for; a pod of the pool has them not.
FUNCTION_LABEL = "serverless.cubernetes.io/function"
NAMESPACE_LABEL = "serverless.cubernetes.io/namespace"
CLASS_LABEL = "serverless.cubernetes.io/class"
DIGEST_CHARS = 8
# Keys of instances that are remembered: each call asks for one.
KEYS_MAX = 1024


def digest_of(spec: FunctionSpec) -> str:
    """Return what the code of a function is known by: a digest of all that a call depends on."""
    told: list[object] = [spec.runtime, spec.entry]
    told += [sorted(spec.files.items()), sorted(spec.env.items())]
    # Of what came later, only what is there: functions without it keep their revisions.
    if spec.secrets:
        told.append(sorted((one.env, one.name, one.key) for one in spec.secrets))
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:DIGEST_CHARS]


def revision_name(function: Function) -> str:
    return f"{function.metadata.name}-{digest_of(function.spec)}"


@lru_cache(KEYS_MAX)
def key_for(secret: str, pod_uid: str) -> str:
    """Return the key by which an instance knows the gateway; it follows from the pod's uid."""
    return hmac.new(secret.encode(), pod_uid.encode(), hashlib.sha256).hexdigest()
