"""Where `cubectl` begins: an interrupt ends it quietly also while the rest is still being read."""

import signal


def main() -> int:
    """Run the command line of this process; return its exit code."""
    # The parent process may have interrupts ignored; that stays as it is.
    is_heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from cubectl.cli import main as run

    if is_heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()
