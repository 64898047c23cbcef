"""How long to wait before trying again: a pure rule, used by every retry in the house."""


def backoff_s(failure_count: int, *, base_s: float = 0.5, limit_s: float = 60.0) -> float:
    """Return the pause before the next attempt, in seconds.

    Doubles with each failure and never exceeds limit_s. The caller adds jitter: this function
    has no randomness, so that a test can state the exact answer.

    Raises:
        ValueError: failure_count is below 1; a success needs no pause.
    """
    if failure_count < 1:
        raise ValueError(f"failure_count must be at least 1, got {failure_count}")
    # 2**60 seconds is beyond any limit: cap the exponent so that a long streak cannot overflow.
    return min(limit_s, base_s * 2.0 ** min(failure_count - 1, 60))


def jittered_s(pause_s: float, fraction: float) -> float:
    """Spread a pause over [pause_s / 2, pause_s): fraction is a random number in [0, 1)."""
    return pause_s * (0.5 + fraction / 2)
