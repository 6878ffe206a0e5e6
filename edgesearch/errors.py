"""One exception tree; every class knows the exit code of the command.

    EdgesearchError (1)
    ├── UsageError (2)            a flag, name or value that cannot be used
    ├── NoAnswer (3)              nothing usable within the budget (raised by the command only)
    ├── ModelNotFound (4)         missing file, unknown name, offline
    ├── IntegrityError (5)        truncated, corrupt, unsupported or mismatching model file
    ├── SandboxUnavailable (6)    nothing here can run untrusted code safely
    ├── ContextOverflow (7)       the problem does not fit the model's context
    ├── OutOfMemory (8)           weights or KV cache do not fit; says what would
    └── EndpointError (9)         an endpoint refused, failed or wants credentials

A message says what happened, where, and what to do next. `solve` never raises for running out of time: that is a
`Solution` with `finish="deadline"`. Interrupts exit with 130.
"""


class EdgesearchError(Exception):
    """Base of all errors a user can cause; `exit_code` is what the command exits with."""

    exit_code = 1


class UsageError(EdgesearchError, ValueError):
    """A flag, name or value that cannot be used."""

    exit_code = 2


class NoAnswer(EdgesearchError):
    """No usable answer within the budget."""

    exit_code = 3


class ModelNotFound(EdgesearchError):
    """A model file, name or repository that cannot be had."""

    exit_code = 4


class IntegrityError(EdgesearchError):
    """A model file that is truncated, corrupt, unsupported or not the one that was promised."""

    exit_code = 5


class SandboxUnavailable(EdgesearchError):
    """No sandbox works on this machine."""

    exit_code = 6


class ContextOverflow(EdgesearchError):
    """The problem does not fit the solver's context; never truncated silently."""

    exit_code = 7


class OutOfMemory(EdgesearchError):
    """The weights or the KV cache do not fit in memory."""

    exit_code = 8


class EndpointError(EdgesearchError):
    """A remote engine refused or failed."""

    exit_code = 9
