"""engine.sources.remote: the same samples and bytes as on a disk, from wherever fsspec reads."""

import asyncio
import pickle
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from remote_samples import copied, put, web_server
from source_samples import (
    FILES,
    IMAGES,
    JPEG,
    parquet,
    picture,
    reasons,
    tarred,
    write_folder,
    zipped,
)

from cache.failures import Failure, UsageFailure
from engine.images.framing import Framing
from engine.sources import base
from engine.sources.base import SourceOptions, Unreadable
from engine.sources.load import Loader, none_cached
from engine.sources.open import inputs, open_source
from engine.sources.remote import listing, reading
from engine.sources.remote.address import RemotePath, is_remote, remote_path, unsigned
from engine.sources.remote.matching import remote_matches
from engine.sources.remote.reading import RemoteFile, read_object, read_range


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(reading, "PAUSE_SECONDS", 0.001)


@pytest.fixture
def memory():
    """An empty file system in memory."""
    from fsspec.implementations.memory import MemoryFileSystem

    def clear():
        MemoryFileSystem.store.clear()
        MemoryFileSystem.pseudo_dirs[:] = [""]

    clear()
    yield "memory://bucket"
    clear()


@pytest.fixture
def web(tmp_path):
    with web_server(tmp_path) as server:
        yield server


def listed(source):
    return [(sample.path, sample.label) for sample in source.samples]


def test_a_folder_in_memory_is_read_as_on_a_disk(tmp_path, memory):
    write_folder(tmp_path)
    with open_source(tmp_path) as here, open_source(copied(tmp_path, memory)) as there:
        named = [sample for sample in here.samples if "extension" not in sample.path]
        assert listed(there) == listed(here) == IMAGES
        assert reasons(there) == reasons(here)
        assert there.ignored_kinds == here.ignored_kinds
        assert len(named) == 3
        assert str(there.location) == memory


def test_a_folder_on_the_web_is_read_by_its_links(tmp_path, web):
    pets = tmp_path / "my pets"
    write_folder(pets / "a & b")
    put("memory://bucket", {})
    with open_source(pets) as here, open_source(f"{web.url}/my%20pets/") as there:
        assert listed(there) == listed(here)
        assert reasons(there) == reasons(here)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("where", ["memory", "web"])
def test_archives_are_read_where_they_are(tmp_path, memory, web, kind, where):
    members = [(name, data) for name, data in FILES.items() if "extension" not in name]
    path = tmp_path / f"pets.{kind}"
    if kind == "zip":
        zipped(path, *members, method=zipfile.ZIP_DEFLATED)
    else:
        tarred(path, *members, mode="w:gz" if kind == "tar.gz" else "w")
    put(memory, {path.name: path.read_bytes()})
    address = f"{memory}/{path.name}" if where == "memory" else f"{web.url}/{path.name}"
    with open_source(path) as here, open_source(address) as there:
        assert listed(there) == listed(here)
        assert reasons(there) == reasons(here)
        assert there.sequential == here.sequential


def test_one_thread_that_decodes_has_several_requests_under_way(memory, monkeypatch):
    put(memory, {f"{number}.jpg": picture(number) for number in range(16)})
    together = threading.Barrier(8)
    with open_source(memory) as source, ThreadPoolExecutor(1) as pool:
        read = source.read

        def waits(sample):
            together.wait(30)  # BrokenBarrierError unless eight of them come
            return read(sample)

        monkeypatch.setattr(source, "read", waits)
        loader = Loader(source, none_cached, (8, 8), Framing())
        loaded = list(loader.load(source.samples, pool, 32, threading.Event()))
    assert [item.sample.path for item in loaded] == [sample.path for sample in source.samples]
    assert all(item.pixels is not None for item in loaded)


def test_a_member_of_a_zip_is_one_request(tmp_path, web):
    zipped(tmp_path / "a.zip", ("cat/1.jpg", JPEG), ("dog/2.jpg", picture(2)))
    with open_source(f"{web.url}/a.zip") as source:
        web.requests.clear()
        assert source.read(source.samples[1]) == picture(2)
        assert len(web.requests) == 1


def test_a_long_extra_field_of_a_member_costs_one_more(tmp_path, web):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("cat/1.jpg")
        entry.extra = b"\x99\x99\x00\x04" + bytes(1024)
        archive.writestr(entry, JPEG)
        entry.extra = b""  # the list says nothing of it
    with open_source(f"{web.url}/a.zip") as source:
        web.requests.clear()
        assert source.read(source.samples[0]) == JPEG
        assert len(web.requests) == 2


def test_shards_by_a_pattern(tmp_path, memory, web):
    for number in range(3):
        tarred(
            tmp_path / f"s-{number}.tar",
            (f"{number}.jpg", picture(number)),
            (f"{number}.cls", b"7"),
        )
    copied(tmp_path, memory)
    expected = [(f"s-{n}.tar/{n}.jpg", "7") for n in range(3)]
    for pattern in ("s-{0..2}.tar", "s-*.tar", "{s-0,s-1,s-2}.tar"):
        with open_source(f"{memory}/{pattern}") as source:
            assert listed(source) == expected
            assert set(reasons(source).values()) == {picture(n) for n in range(3)}
    with open_source(f"{web.url}/s-{{0..2}}.tar") as source:
        assert listed(source) == expected
    with pytest.raises(Failure, match=r"bucket/s-3\.tar cannot be read: there is no"):
        open_source(f"{memory}/s-{{0..5}}.tar")
    with pytest.raises(Failure, match="no file that memory://bucket/x-"):
        open_source(f"{memory}/x-*.tar")


def test_the_paths_of_a_table_count_from_its_folder(tmp_path, memory):
    files = {
        "a/1.jpg": picture(1),
        "b/2.jpg": picture(2),
        "t/up.csv": b"path,label\n../a/1.jpg,cat\n",
    }
    files["all.csv"] = b"path,label\na/1.jpg,cat\nb/2,dog\nb/9.jpg,dog\n../../x.jpg,dog\n"
    put(memory, files)
    with open_source(f"{memory}/all.csv") as source:
        outcomes = reasons(source)
    assert list(outcomes.values())[:2] == [picture(1), picture(2)]
    assert outcomes["b/9.jpg"] == "cannot be read: there is no such file"
    assert outcomes["../../x.jpg"] == "its path leads out of the file system"
    with open_source(f"{memory}/t/up.csv") as source:
        assert reasons(source) == {"../a/1.jpg": picture(1)}
    local = tmp_path / "all.csv"
    local.write_bytes(files["all.csv"])
    with open_source(local, SourceOptions(base=memory)) as source:
        assert reasons(source) == outcomes
        assert f"paths count from the folder {memory}" in source.advice


def test_a_table_finds_the_folder_of_its_images(memory):
    put(memory, {"t.csv": b"id,label\n1,cat\n2,dog\n", "train/1.jpg": JPEG, "train/2.jpg": JPEG})
    with open_source(f"{memory}/t.csv") as source:
        assert reasons(source) == {"1": JPEG, "2": JPEG}
        assert "the paths count from the folder train" in source.guesses


def test_a_table_on_the_web(tmp_path, web):
    (tmp_path / "t.csv").write_text("path,label\n1.jpg,cat\n2.jpg,dog\n")
    (tmp_path / "1.jpg").write_bytes(JPEG)
    with open_source(f"{web.url}/t.csv") as source:
        assert reasons(source) == {"1.jpg": JPEG, "2.jpg": "cannot be read: there is no such file"}
        assert source.stat(source.samples[0]) is None


def test_parquet_with_the_images_in_it(tmp_path, memory):
    pytest.importorskip("pyarrow")
    images = [{"bytes": picture(n), "path": f"{n}.jpg"} for n in range(3)]
    parquet(tmp_path / "a.parquet", {"image": images, "label": ["cat", "cat", "dog"]})
    copied(tmp_path, f"{memory}/data")
    for address in (f"{memory}/data/a.parquet", f"{memory}/data"):
        with open_source(address) as source:
            assert sorted(reasons(source).values()) == sorted(picture(n) for n in range(3))
    put(memory, {"1.jpg": JPEG})
    path = parquet(tmp_path / "p.parquet", {"path": ["1.jpg"], "label": ["cat"]})
    put(memory, {"p.parquet": path.read_bytes()})
    with open_source(f"{memory}/p.parquet") as source:
        assert reasons(source) == {"1.jpg": JPEG}


def test_a_fault_that_passes_is_read_over(tmp_path, web):
    (tmp_path / "1.jpg").write_bytes(JPEG)
    web.faults = reading.ATTEMPTS - 1
    assert read_object(remote_path(f"{web.url}/1.jpg")) == JPEG
    web.faults = reading.ATTEMPTS
    with pytest.raises(Unreadable, match="cannot be read: 503"):
        read_object(remote_path(f"{web.url}/1.jpg"))
    assert web.faults == 0


def test_what_is_not_there_or_forbidden_is_asked_for_once(web):
    with pytest.raises(Unreadable, match="there is no such file"):
        read_object(remote_path(f"{web.url}/1.jpg"))
    assert len(web.requests) == 1
    asked = []

    def forbidden():
        asked.append(1)
        raise PermissionError(13, "Access Denied")

    with pytest.raises(PermissionError):
        reading.retried(forbidden)
    assert asked == [1]


def test_no_more_is_read_than_an_image_may_have(tmp_path, web, memory, monkeypatch):
    (tmp_path / "1.jpg").write_bytes(bytes(5000))
    put(memory, {"1.jpg": bytes(5000)})
    monkeypatch.setattr(reading, "MAX_BYTES", 1000)
    monkeypatch.setattr(base, "MAX_BYTES", 1000)
    for address in (f"{web.url}/1.jpg", f"{memory}/1.jpg"):
        with pytest.raises(Unreadable, match="larger than"):
            read_object(remote_path(address))


def test_parts_of_hadoop_s_files(tmp_path, monkeypatch):
    fs = pytest.importorskip("pyarrow.fs")
    monkeypatch.setattr(fs, "HadoopFileSystem", lambda **_: fs.LocalFileSystem())
    (tmp_path / "a.bin").write_bytes(bytes(range(100)))
    place = remote_path(f"hdfs://host{tmp_path}/a.bin")
    assert read_object(place) == bytes(range(100))
    assert read_range(place, 0, 3) == bytes(range(3))
    assert read_range(place, 97, 9) == bytes(range(97, 100))
    with pytest.raises(Unreadable, match="no such file"):
        read_object(place.parent / "none.bin")


def test_an_answer_that_never_comes_is_a_fault(monkeypatch):
    from fsspec.asyn import AsyncFileSystem

    asked = []

    class Silent(AsyncFileSystem):
        async def _cat_file(self, path, **part):
            asked.append((path, part))
            await asyncio.sleep(60)

    monkeypatch.setattr(reading, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(reading, "PAUSE_SECONDS", 0)
    with pytest.raises(Unreadable, match="cannot be read: "):
        read_range(RemotePath("gs://bucket/a", Silent(), "bucket/a"), 2, 5)
    assert asked == [("bucket/a", {"start": 2, "end": 7})] * 4


@pytest.mark.parametrize("name", ["status", "code", "status_code"])
def test_what_a_server_refuses_is_asked_for_once(name):
    asked = []

    def request():
        asked.append(name)
        raise type("Refusal", (Exception,), {name: 416})

    with pytest.raises(Unreadable):
        reading.retried(request)
    assert len(asked) == 1


def test_a_server_that_gives_files_only_as_a_whole(tmp_path):
    zipped(tmp_path / "a.zip", ("cat/1.jpg", bytes(100_000)))
    write_folder(tmp_path / "pets")
    with web_server(tmp_path, parts=False) as server:
        with pytest.raises(Failure, match="gives files only as a whole; download it"):
            open_source(f"{server.url}/a.zip")
        with open_source(f"{server.url}/pets/") as source:
            assert listed(source) == IMAGES
            assert picture(1) in reasons(source).values()


def test_what_cannot_be_opened_is_one_line(tmp_path, memory, web, monkeypatch):
    (tmp_path / "page.html").write_text("<html></html>")
    (tmp_path / "empty").mkdir()
    cases = {
        f"{memory}/none": "there is no memory://bucket/none",
        f"{web.url}/none.zip": "cannot be read: there is no such file",
        f"{web.url}/page.html": "end its address with /",
        f"{web.url}/empty/": "holds no images",
        "http://127.0.0.1:9/a.zip": "cannot be read: Cannot connect",
        "ftp://h/a": "ftp:// is not read; give s3://",
        "https://user:secret@h/a.zip": "put no password into the address",
    }
    for address, words in cases.items():
        with pytest.raises(Failure) as raised:
            open_source(address)
        assert words in str(raised.value)
        assert "\n" not in str(raised.value)
        assert "secret" not in str(raised.value)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(Failure, match=r"pip install 'onceover\[remote\]'"):
        open_source(memory)


def test_a_file_system_whose_package_is_absent_is_one_line():
    with pytest.raises(Failure, match=r"gs://bucket cannot be read: .*gcsfs"):
        open_source("gs://bucket")


def test_addresses():
    assert is_remote("s3://bucket/a")
    assert not is_remote("C://bucket")
    assert not is_remote("a/b.zip")
    signed = "https://h/a.zip?id=3&X-Amz-Signature=00&x-amz-date=1&sig=2"
    assert unsigned(signed) == "https://h/a.zip?id=3"
    assert unsigned("s3://bucket/a/") == "s3://bucket/a"
    place = remote_path("https://h/a%20b/c.tar.gz?id=3")
    assert (place.name, place.suffix, str(place.parent)) == ("c.tar.gz", ".gz", "https://h/a%20b")
    assert str(place.parent / "d e.jpg") == "https://h/a%20b/d%20e.jpg"
    with pytest.raises(UsageFailure):
        remote_path("file:///tmp")


def test_a_source_without_open_files_can_be_sent_to_workers(memory, tmp_path):
    write_folder(tmp_path)
    with open_source(copied(tmp_path, memory)) as source:
        there = pickle.loads(pickle.dumps(source))
        assert reasons(there) == reasons(source)
        assert there.location.exists()
    assert not remote_path("memory://nowhere").exists()


def test_stats_tell_what_may_have_changed(monkeypatch):
    now = 1_700_000_000.0
    monkeypatch.setattr(listing.time, "time", lambda: now)
    hashed = listing.stat_of({"size": 3, "ETag": '"a"'})
    assert hashed == listing.stat_of({"size": 3, "ETag": '"a"'})
    assert hashed != listing.stat_of({"size": 3, "ETag": '"b"'})
    assert hashed != listing.stat_of({"size": 4, "ETag": '"a"'})
    assert hashed != listing.stat_of({"size": 3, "ETag": '"a"', "LastModified": now})
    old = now - 2 * listing.SETTLED_SECONDS
    assert listing.stat_of({"size": 3, "mtime": old}) != listing.stat_of(
        {"size": 3, "mtime": old - 1}
    )
    assert listing.stat_of({"size": 3, "modificationTime": 1000 * int(old)}) is not None
    assert (
        listing.stat_of({"size": 3, "Last-Modified": "Tue, 14 Nov 2023 10:00:00 GMT"}) is not None
    )
    assert listing.stat_of({"size": 3, "updated": "2023-11-14T10:00:00Z"}) is not None
    for nothing in (
        {"size": 3},
        {"size": 3, "ETag": 'W/"a"'},
        {"size": 3, "mtime": now - 1},
        {"size": 3, "mtime": "soon"},
        {"size": None, "ETag": '"a"'},
    ):
        assert listing.stat_of(nothing) is None


def test_links_that_go_round_end(monkeypatch):
    monkeypatch.setattr(listing, "MAX_FOLDERS", 5)

    class Endless:
        def ls(self, key, **_):
            return [{"name": f"{key.rstrip('/')}/a{n}", "type": "directory"} for n in range(2)]

    from engine.sources.remote.address import RemotePath

    with pytest.raises(Failure, match="has over 5 folders"):
        list(listing.walk(RemotePath("s3://b", Endless(), "b")))


def test_a_folder_that_cannot_be_listed_is_told(memory, monkeypatch):
    put(memory, {"cat/1.jpg": JPEG, "dog/2.jpg": JPEG})
    from fsspec.implementations.memory import MemoryFileSystem

    ls = MemoryFileSystem.ls

    def fails(self, path, **options):
        if path.endswith("dog"):
            raise PermissionError(13, "Access Denied")
        return ls(self, path, **options)

    monkeypatch.setattr(MemoryFileSystem, "ls", fails)
    with pytest.raises(Failure, match="memory://bucket cannot be listed: Access Denied"):
        open_source(memory)


def test_a_file_far_away_is_a_file(memory):
    put(memory, {"a": bytes(range(100))})
    place = remote_path(f"{memory}/a")
    file = RemoteFile(place, 100)
    assert file.seek(-10, 2) == file.tell() == 90
    assert file.read(20) == bytes(range(90, 100))
    assert file.read(1) == b""
    assert file.part(98, 10) == bytes([98, 99])
    assert read_range(place, 5, 0) == b""
    with pytest.raises(OSError, match="before the beginning"):
        file.seek(-1)


def test_names_of_files_and_sources_together(memory):
    put(memory, {"pets/1.jpg": JPEG, "2.jpg": picture(2)})
    first, second = inputs([f"{memory}/2.jpg", f"{memory}/pets"])
    assert reasons(first.source) == {f"{memory}/2.jpg": picture(2)}
    assert second.prefix == f"{memory}/pets/"


def test_a_tar_that_breaks_off_is_told_apart_from_a_server_that_does(tmp_path, memory, monkeypatch):
    path = tarred(tmp_path / "a.tar", ("cat/1.jpg", JPEG), ("dog/2.jpg", JPEG))
    put(memory, {"a.tar": path.read_bytes()})
    with open_source(f"{memory}/a.tar") as source:
        from fsspec.implementations.memory import MemoryFileSystem

        def fails(*_, **__):
            raise ConnectionResetError(104, "Connection reset")

        monkeypatch.setattr(MemoryFileSystem, "cat_file", fails)
        assert set(reasons(source).values()) == {"cannot be read: [Errno 104] Connection reset"}
        with pytest.raises(Failure, match=r"a\.tar cannot be read: \[Errno 104\]"):
            open_source(f"{memory}/a.tar")


def test_a_pattern_needs_a_match(memory):
    put(memory, {"a/1.tar": b"", "b/1.tar": b""})
    assert [str(place) for place in remote_matches(f"{memory}/*/1.tar")] == [
        f"{memory}/a/1.tar",
        f"{memory}/b/1.tar",
    ]
