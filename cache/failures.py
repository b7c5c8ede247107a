"""The failures that a user can mend: one line each, and the exit code that goes with it."""


class Failure(Exception):
    """The job could not be done. The message is one line that says what to do about it."""

    exit_code = 1


class UsageFailure(Failure):
    """The command was asked for something that does not exist or does not fit together."""

    exit_code = 2


class Interrupted(Failure):
    """The user stopped the job; finished work is kept. The message says how to go on."""

    exit_code = 130


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
