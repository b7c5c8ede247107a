"""The feature store: digests, vectors and the columns of a dataset table."""

import sys

if sys.argv[:1] == ["-m"]:  # as Python has it while `python -m` looks for the module
    from cache.commandline.early import say_interrupts

    say_interrupts()
