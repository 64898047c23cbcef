"""Chance, as an argument: from the machine in production, from a seed in a simulation."""

import random
import secrets
import uuid
from typing import Protocol


class Rng(Protocol):
    """Where identities and jitter come from."""

    def fraction(self) -> float:
        """Return a number in [0, 1), to spread pauses and choices: it can be guessed."""
        ...

    def below(self, limit: int) -> int:
        """Return a whole number in [0, limit) that nobody can guess, as far as this source can."""
        ...

    def uuid(self) -> str:
        """Return a new version 4 UUID in its usual text form."""
        ...

    def chars(self, count: int) -> str:
        """Return count lower-case letters and digits that cannot be confused or form words."""
        ...


# Kubernetes' alphabet for generated names: no vowels, no 0, 1 and 3, so that no word appears.
SAFE_CHARS = "bcdfghjklmnpqrstvwxz2456789"


# The variant that RFC 9562 gives a UUID, by the digit that stands in its place.
VARIANTS = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


class SystemRng:
    """Unpredictable, from the operating system, but for fractions.

    Each write of the API draws a fraction, and the system's own took 11 us.
    """

    def __init__(self) -> None:
        self._random = random.Random()  # noqa: S311  seeded by the system; nothing is kept secret
        self._system = random.SystemRandom()

    def fraction(self) -> float:
        return self._random.random()

    def below(self, limit: int) -> int:
        return secrets.randbelow(limit)

    def uuid(self) -> str:
        # As str(uuid.uuid4()), at a third of its cost: each call of a function has one.
        text = secrets.token_hex(16)
        high = f"{text[:8]}-{text[8:12]}-4{text[13:16]}"
        return f"{high}-{VARIANTS[text[16]]}{text[17:20]}-{text[20:]}"

    def chars(self, count: int) -> str:
        return "".join(self._system.choices(SAFE_CHARS, k=count))


class SeededRng:
    """Repeatable: the same seed gives the same life. For simulations and tests only."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311  repeatability is the purpose

    def fraction(self) -> float:
        return self._random.random()

    def below(self, limit: int) -> int:
        return self._random.randrange(limit)

    def uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def chars(self, count: int) -> str:
        return "".join(self._random.choice(SAFE_CHARS) for _ in range(count))
