"""What is kept of how a source was opened, to open it again."""

from source_samples import picture

from engine.sources.again import open_images, origin_of
from engine.sources.base import SourceOptions


def test_a_base_is_kept_whole_wherever_the_next_process_runs(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(picture())
    (tmp_path / "odd.csv").write_text("Nr,Foto,Art\n1,a.jpg,x\n")
    monkeypatch.chdir(tmp_path)
    origin = origin_of(SourceOptions(path_column="Foto", label_column="Art", base="photos"))
    monkeypatch.chdir(tmp_path / "photos")
    with open_images(tmp_path / "odd.csv", origin) as source:
        assert [(sample.path, sample.label) for sample in source.samples] == [("a.jpg", None)]
        assert source.read(source.samples[0]) == picture()


def test_nothing_is_kept_of_what_a_source_says_itself_nor_of_a_signature():
    assert origin_of(SourceOptions(labels="(cat|dog)", splits="none")) == {}
    signed = "https://host/photos/?X-Amz-Signature=abc&part=1"
    assert "abc" not in origin_of(SourceOptions(base=signed))["base"]
