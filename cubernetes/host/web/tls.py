"""TLS for servers: from PEM files, with or without certificates of clients."""

import ssl
from enum import Enum


class Clients(Enum):
    """Whether a client must show a certificate of the authority, or only may."""

    MUST = ssl.CERT_REQUIRED
    MAY = ssl.CERT_OPTIONAL


def server_tls(
    cert: str, key: str, client_ca: str = "", clients: Clients = Clients.MUST
) -> ssl.SSLContext:
    """Return TLS 1.2 or later from PEM files; without client_ca nobody is asked for a certificate.

    Raises:
        OSError, ssl.SSLError: a file is missing or no good.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = clients.value
    context.set_alpn_protocols(["http/1.1"])
    return context
