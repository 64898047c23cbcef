"""The way to the functions' program, with the certificate of the API's client."""

import json
from argparse import Namespace
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlsplit

from cubectl.connection.transport import HttpsTransport
from cubectl.output.printers import safe
from cubectl.session import Failed, Session

# Where the functions' program answers administrators, on the host of the API server.
ADMIN_PORT = 6811


def place_beside(server: str) -> str:
    """Return where administrators are answered, on the host of an API server."""
    parts = urlsplit(server if "//" in server else f"//{server}")
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return f"{host}:{ADMIN_PORT}"


def admin_of(options: Namespace, session: Session) -> HttpsTransport:
    """Return a connection to it; close it."""
    place = options.at or place_beside(session.access.server)
    access = session.access._replace(server=f"https://{place}", server_name="")
    return HttpsTransport(access, timeout_s=session.choice.timeout_s)


def target_of(name: str, session: Session) -> str:
    """Return the path of a function."""
    return f"/functions/{quote(session.namespace, safe='')}/{quote(name, safe='')}"


def asked(options: Namespace, session: Session, method: str, target: str, body: bytes = b"") -> Any:
    """Return what is answered in JSON. Raises: Failed: it was refused."""
    with closing(admin_of(options, session)) as admin:
        answer = admin.send(method, target, body=body, media="application/json")
    if not 200 <= answer.status < 300:
        raise Failed(f"{answer.status}: {safe(answer.body.decode(errors='replace').strip())}")
    return json.loads(answer.body)
