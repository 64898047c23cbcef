"""What the store shows of itself where it asks or sends: certificates and tokens."""

import ssl
from pathlib import Path

from tsdb.settings import ScrapeTls


def tls_of(tls: ScrapeTls) -> ssl.SSLContext:
    """Return how a server is checked, and what it is shown.

    Raises: OSError, ssl.SSLError: a file is missing or no certificate.
    """
    context = ssl.create_default_context(cafile=tls.ca or None)
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key or None)
    return context


def authorization(token_file: str) -> dict[str, str]:
    """Return the header of a token, read anew each time: it may be replaced while we run."""
    if not token_file:
        return {}
    return {"Authorization": f"Bearer {Path(token_file).read_text().strip()}"}
