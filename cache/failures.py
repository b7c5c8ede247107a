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
