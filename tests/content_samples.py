"""What a cache says, whoever wrote it and when."""

from dataclasses import replace

from fault_harness import State, state


def content(folder):
    """Return the state of a folder's cache; without stats, which a file has once it is settled."""
    found = state(folder)
    rows = {key: [replace(row, stat=None) for row in rows] for key, rows in found.rows.items()}
    return State(found.features, rows)
