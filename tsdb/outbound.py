"""What the store shows of itself where it asks or sends: certificates and tokens."""

import re
import ssl
from pathlib import Path

from tsdb.settings import ScrapeTls

TOKEN = re.compile(rb"[!-~]+")


def tls_of(tls: ScrapeTls) -> ssl.SSLContext:
    """Return how a server is checked, and what it is shown.

    Raises: OSError, ssl.SSLError: a file is missing or no certificate.
    """
    context = ssl.create_default_context(cafile=tls.ca or None)
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key or None)
    return context


def authorization(token_file: str) -> dict[str, str]:
    """Return the header of a token, read anew each time: it may be replaced while we run.

    Raises: OSError: the file cannot be read, or is no token.
    """
    if not token_file:
        return {}
    token = Path(token_file).read_bytes().strip()
    if not TOKEN.fullmatch(token):
        raise OSError(f"{token_file} must hold one word of printable ASCII characters")
    return {"Authorization": f"Bearer {token.decode()}"}
