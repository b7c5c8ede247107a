"""Whole sources: each layout and table dialect of tests/layout_samples.py."""

from dataclasses import replace

import pytest
from layout_samples import LAYOUTS, read
from source_docs import PATH, document

CASES = [layout for layouts in LAYOUTS.values() for layout in layouts]


@pytest.mark.parametrize("layout", CASES, ids=[layout.title for layout in CASES])
def test_what_is_read(tmp_path, layout):
    if layout.options.base:
        base = layout.options.base.format(folder=tmp_path)
        layout = replace(layout, options=replace(layout.options, base=base))
    reading = read(layout, tmp_path)
    assert bool(reading.error) == bool(layout.error), reading.error
    assert reading.classes == layout.classes
    assert reading.splits == layout.splits
    assert reading.unlabelled == layout.unlabelled
    assert reading.ignored == (layout.ignored or reading.ignored)
    assert reading.rejected == layout.rejected
    for part in layout.says:
        assert any(part in line for line in reading.says), reading.says
    for part in layout.error:
        assert part in reading.error
    assert "\n" not in reading.error


def test_the_page_of_sources_is_up_to_date():
    assert PATH.read_text(encoding="utf-8") == document()
