"""What the tests of the commands share."""

import pytest


@pytest.fixture
def options(tiny_backbone, tmp_path):
    """Return the options of an extraction by the small backbone into a new cache."""
    backbone = ["--backbone", str(tiny_backbone), "--preprocessing", "tf", "--precision", "fp32"]
    return [*backbone, "--cache", str(tmp_path / "cache")]
