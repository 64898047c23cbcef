"""Name endings that follow from facts, so that the same intent always asks for the same name."""

from hashlib import sha256

# Kubernetes' alphabet for generated names: no vowels, no 0, 1 and 3, so that no word appears.
CHARS = "bcdfghjklmnpqrstvwxz2456789"
NAME_MAX = 253
ENDING_COUNT = 5


def suffix_of(*facts: object, count: int = ENDING_COUNT) -> str:
    """Return count letters that anybody would derive from the same facts: 27^5 is 14 million."""
    number = int.from_bytes(sha256("/".join(map(str, facts)).encode()).digest())
    letters = []
    for _ in range(count):
        number, place = divmod(number, len(CHARS))
        letters.append(CHARS[place])
    return "".join(letters)


def child_name(parent: str, *facts: object) -> str:
    """Return `<parent>-<letters>`, its head cut where the whole would be too long for a name."""
    head = parent[: NAME_MAX - ENDING_COUNT - 1].rstrip("-.")
    return f"{head}-{suffix_of(*facts)}"
