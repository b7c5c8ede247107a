"""engine.runner.wire: what comes out is what went in."""

from cache.rows import Row, Stat
from engine.runner.tally import Tally
from engine.runner.task import Report
from engine.runner.wire import packed_report, packed_samples, unpacked_report, unpacked_samples
from engine.sources.base import Sample


def test_samples_and_reports_come_out_as_they_went_in():
    samples = [Sample("a/\udcff.jpg", None), Sample("b.jpg", "cat", "train")]
    assert unpacked_samples(packed_samples(samples)) == samples
    rows = [
        Row("a.jpg", "cat", b"1" * 32, "cached", "", "train", Stat(1, 2, 3, 4)),
        Row("b.jpg", None, b"", "rejected", "cannot be read: gone"),
    ]
    tally = Tally(1, 2, 3, [("b.jpg", "gone")], 0.1, 0.2, 0.3, 0.4)
    for report in (
        Report("tcp://a:1", "x86_64", rows, tally, seconds=2.5),
        Report("tcp://a:1", "x86_64", [], refused="it has numpy 1"),
    ):
        assert unpacked_report(packed_report(report)) == report
