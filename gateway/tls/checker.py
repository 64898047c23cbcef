"""`python -m gateway.tls.checker`: looks at one pair, in a process of its own.

The library checks an RSA key of 4,096 bits for two seconds and lets no thread of its process run
meanwhile; a longer key, which is refused afterwards, takes minutes.
"""

import sys
from collections.abc import Mapping

import msgspec

from cubernetes.host.env import Env
from gateway.tls.pairs import CERTIFICATE_KEY, PRIVATE_KEY, BadPair, pair_in

ARGV = (sys.executable, "-m", "gateway.tls.checker")
CHECK_S = 30.0
# In base64: no key that takes time to check is so short.
SHORT_KEY_CHARS_MAX = 800
GOOD, BAD = b"good", b"bad"


async def checked(data: Mapping[str, str], env: Env) -> bytes | str:
    """Return the pair in a Secret's data, or why there is none.

    Raises: CommandFailed: nothing is known, as the check had no end in time.
    """
    parts = {name: data.get(name, "") for name in (CERTIFICATE_KEY, PRIVATE_KEY)}
    if len(parts[PRIVATE_KEY]) <= SHORT_KEY_CHARS_MAX:
        return _looked_at(parts)
    ended = await env.commands.run(ARGV, stdin=msgspec.json.encode(parts), deadline_s=CHECK_S)
    word, _, found = ended.stdout.partition(b"\n")
    return found if word == GOOD else found.decode()


def _looked_at(data: Mapping[str, str]) -> bytes | str:
    try:
        return pair_in(data)
    except BadPair as error:
        return str(error)


def main() -> None:
    """Answer what the pair on stdin is."""
    found = _looked_at(msgspec.json.decode(sys.stdin.buffer.read(), type=dict[str, str]))
    word, text = (GOOD, found) if isinstance(found, bytes) else (BAD, found.encode())
    sys.stdout.buffer.write(word + b"\n" + text)


if __name__ == "__main__":
    main()
