"""Long work as a generator: it yields where others may have their turn, and returns its value.

Its driver looks at the clock at each yield, so every loop over data yields now and then.
"""

from collections.abc import Callable, Generator, Iterable, Iterator

type Steps[T] = Generator[None, None, T]


def finished[T](steps: Steps[T]) -> T:
    """Run a generator to its end without a pause, and return its value."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value


def watched[T](steps: Steps[T], look: Callable[[], None]) -> Steps[T]:
    """Call look at every yield; what it raises ends the work."""
    try:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                value: T = end.value
                return value
            look()
            yield
    finally:
        steps.close()


def mapped[A, B](change: Callable[[A], B], items: Iterable[A], per_pause: int) -> Steps[list[B]]:
    """Return change of every item, with a yield after so many of them."""
    out: list[B] = []
    for number, item in enumerate(items):
        if number % per_pause == 0:
            yield
        out.append(change(item))
    return out


def as_steps(work: Iterator[None]) -> Steps[None]:
    """Return any iterator of pauses as a generator without a value."""
    yield from work
