"""How a machine becomes a node: the CA to compare with its pin, tokens, and signed certificates."""

from apiserver.backend import Backend
from apiserver.call import Call
from cubernetes.api.errors import ServiceUnavailable
from cubernetes.api.http import Response


async def cluster_info(backend: Backend, _: Call) -> Response:
    """Return the CA certificate: it is no secret, and a pin is compared with it."""
    if backend.signer is None:
        raise ServiceUnavailable("this server signs no certificates")
    return Response(200, backend.signer.ca_pem.encode(), content_type="application/x-pem-file")


async def join(backend: Backend, call: Call) -> Response:
    raise ServiceUnavailable("this server signs no certificates")


async def list_tokens(backend: Backend, call: Call) -> Response:
    raise ServiceUnavailable("no tokens here")


async def create_token(backend: Backend, call: Call) -> Response:
    raise ServiceUnavailable("no tokens here")


async def revoke_token(backend: Backend, call: Call) -> Response:
    raise ServiceUnavailable("no tokens here")
