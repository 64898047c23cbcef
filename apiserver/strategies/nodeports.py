"""Which port of every node a service may have: a choice is refused with its reason, or one found.

One number is one service's, whatever its protocol, so that a person can tell whose it is.
"""

from collections.abc import Container

from cubernetes.api.portrange import PortRange

# The lower part of the range is for ports that people choose; it is given out last.
CHOSEN_BAND_MIN, CHOSEN_BAND_MAX, CHOSEN_SHARE = 16, 128, 32


def refusal(port: int, ports: PortRange, holder: str | None) -> str:
    """Return why a user may not have a port; empty where he may.

    holder is who has it already, None for nobody.
    """
    if not ports.first <= port <= ports.last:
        return f"provided port is not in the valid range. The range of valid ports is {ports}"
    return f"provided port is already allocated: {port} belongs to {holder}" if holder else ""


def free_port(ports: PortRange, taken: Container[int], fraction: float) -> int | None:
    """Return a port that is not taken, None where the range is full.

    fraction, a random number in [0, 1), says where in the range the search begins. It ends after
    one look at every port.
    """
    count = ports.last - ports.first + 1
    share = min(max(CHOSEN_BAND_MIN, count // CHOSEN_SHARE), CHOSEN_BAND_MAX)
    band = share if share < count else 0
    start = int((count - band) * fraction)
    upper = (ports.first + band + (start + step) % (count - band) for step in range(count - band))
    found = next((port for port in upper if port not in taken), None)
    if found is not None:
        return found
    lower = range(ports.first, ports.first + band)
    return next((port for port in lower if port not in taken), None)
