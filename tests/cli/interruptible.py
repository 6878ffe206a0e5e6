"""Children of a test that hear Ctrl-C."""

import signal


def hear_interrupts() -> None:
    """Undoes the ignored SIGINT of a shell's background job, such as a test run may be, which children inherit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
