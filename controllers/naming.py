"""Name endings that follow from facts, so that the same intent always asks for the same name."""

from hashlib import sha256

from cubernetes.api.core.pod import Pod

# Kubernetes' alphabet for generated names: no vowels, no 0, 1 and 3, so that no word appears.
CHARS = "bcdfghjklmnpqrstvwxz2456789"
NAME_MAX = 253
ENDING_COUNT = 5
# The annotation with the number of a pod among those that its controller has made.
NUMBER = "cubernetes.io/number"
NUMBER_MAX = 10**9  # beyond it an annotation is somebody's joke


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


def number_in(pod: Pod, annotation: str = NUMBER) -> int:
    """Return the number that an annotation of a pod tells; -1 where it tells none."""
    text = pod.metadata.annotations.get(annotation, "")
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(NUMBER_MAX))
    return min(int(text), NUMBER_MAX) if is_number else -1
