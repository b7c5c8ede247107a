"""The pass on a Dask cluster of real processes: what one process gives, whoever dies."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import dask
import psutil
import pytest
from cluster_samples import SLOW, ClusterApart, start_extraction, wait_for_parts
from conftest import write_pictures
from content_samples import content
from distributed import Client  # its defaults are there before a test sets others
from remote_samples import web_server

from cache.__main__ import main as cache_main
from cache.failures import Failure, Interrupted, UsageFailure
from cache.store import FeatureCache
from engine.extract import main as extract_main
from engine.images.framing import Framing
from engine.process.execution import Execution
from engine.runner import connection, session
from engine.runner.cluster import KILLED
from engine.runner.extract import Extractor, FeatureRequest
from engine.runner.kind import this_kind
from engine.runner.session import Session
from engine.runner.survey import survey
from engine.runner.task import Job, portable_source

# What workers run before anything else, some twice.
POISONED = """
import os
from engine.sources import load
def dies(data, *arguments, decode=load.decode_with_remark):
    if b"POISON" in data:
        os._exit(9)
    return decode(data, *arguments)
load.decode_with_remark = dies
"""
OTHER_VERSIONS = """
from engine.runner import kind
kind._version = lambda package: "0.0.1"
"""


@pytest.fixture
def options(tiny_backbone):
    return ["--backbone", str(tiny_backbone), "--preprocessing", "torch", "--precision", "fp32"]


@pytest.fixture
def preload(tmp_path):
    """Have all workers that begin from here on run a script first."""

    def write(script):
        path = tmp_path / "preload.py"
        path.write_text(script)
        stack.enter_context(dask.config.set({"distributed.worker.preload": [str(path)]}))

    from contextlib import ExitStack

    with ExitStack() as stack:
        yield write


@pytest.fixture
def same_as_one_process(tmp_path, options, capsys):
    """Tell whether a cache holds what one process makes, nothing twice, all of it sound.

    copies: how many images may be in two tasks at the same moment.
    """

    def check(source, cache, copies=0):
        extract(capsys, source, "--cache", tmp_path / "one" / "c", *options)
        many, one = content(cache.parent), content(tmp_path / "one")
        assert many == one
        (space,) = FeatureCache.open(cache).spaces()
        assert 0 <= len(space.index()) - len(many.features[space.id]) <= copies
        assert cache_main(["verify", str(cache), "--json"]) == 0

    return check


def extract(capsys, *arguments, code=0):
    capsys.readouterr()
    assert extract_main([*map(str, arguments), "--json"]) == code
    out, err = capsys.readouterr()
    return (json.loads(out) if out else None), err


def job(source, cache, model, kind):
    space = FeatureCache.open(cache).space()
    bare = portable_source(source.source)
    location = str(source.source.location)
    return Job("k", str(cache), space.id, model, Framing(), location, source.options, bare, kind)


def exported(options):
    from engine.backbones.request import BackboneRequest
    from engine.backbones.store import exported_model

    return exported_model(BackboneRequest(options[1], "own", None, "torch"))


@pytest.mark.slow
def test_two_workers_give_what_one_process_gives(tmp_path, options, capsys, same_as_one_process):
    pictures = write_pictures(tmp_path / "pictures", 30)
    shutil.copy(pictures / "spots" / "0.jpg", pictures / "spots" / "copy.jpg")
    (pictures / "spots" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    cache = ["--cache", tmp_path / "many" / "c", *options]
    first, err = extract(capsys, pictures, *cache, "--cluster", "local:2")
    assert "dashboard: http://" in err
    assert first["samples"] == 62
    assert (first["computed"] + first["hits"], first["duplicates"]) == (60, 1)
    assert [entry["path"] for entry in first["rejected"]] == ["spots/broken.jpg"]
    same_as_one_process(pictures, tmp_path / "many" / "c", copies=1)


@pytest.mark.slow
def test_an_archive_is_opened_by_each_worker(tmp_path, options, capsys, same_as_one_process):
    pictures = write_pictures(tmp_path / "pictures", 10)
    archive = shutil.make_archive(str(tmp_path / "pictures"), "zip", pictures)
    cache = tmp_path / "many" / "c"
    result, _ = extract(capsys, archive, "--cache", cache, *options, "--cluster", "local:1")
    assert result["computed"] == 20
    same_as_one_process(archive, cache)


@pytest.mark.slow
def test_workers_that_are_killed_lose_nothing(
    tmp_path, options, capsys, preload, same_as_one_process
):
    pictures, cache = write_pictures(tmp_path / "pictures", 200), tmp_path / "many" / "c"
    preload(SLOW)
    ended, killed = threading.Event(), []

    def kill():
        while len(killed) < 2 and not ended.wait(0.2):
            for process in psutil.Process().children(recursive=True):
                if len(list(cache.glob("spaces/*/parts/*"))) > 4 * len(killed) and at_work(process):
                    process.kill()
                    killed.append(process.pid)
                    break

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        result, _ = extract(capsys, pictures, "--cache", cache, *options, "--cluster", "local:2")
    finally:
        ended.set()
        thread.join()
    assert killed
    assert result["rejected"] == []
    assert result["computed"] + result["hits"] == 400
    same_as_one_process(pictures, cache)


def at_work(process):
    """Tell whether a child is a worker that a nanny started long ago."""
    try:
        young = time.time() - process.create_time() < 5
        return "spawn_main" in " ".join(process.cmdline()) and not young
    except psutil.Error:
        return False


@pytest.mark.slow
def test_an_image_that_kills_its_worker_is_rejected_and_the_rest_finish(
    tmp_path, options, capsys, preload
):
    pictures, cache = write_pictures(tmp_path / "pictures", 20), tmp_path / "c"
    poison = pictures / "spots" / "7.jpg"
    poison.write_bytes(poison.read_bytes() + b"POISON")
    preload(POISONED)
    result, err = extract(capsys, pictures, "--cache", cache, *options, "--cluster", "local:2")
    assert result["rejected"] == [{"path": "spots/7.jpg", "reason": KILLED}]
    assert result["computed"] + result["hits"] == 39
    assert "spots/7.jpg kills each worker that runs it" in err
    # It was the workers' fault: here it is an image like others.
    again, _ = extract(capsys, pictures, "--cache", cache, *options)
    assert (again["computed"], again["hits"]) == (1, 39)


@pytest.mark.slow
def test_a_worker_with_other_versions_is_refused_by_name(
    tmp_path, pictures, options, capsys, preload
):
    preload(OTHER_VERSIONS)
    cache = ["--cache", tmp_path / "c", *options, "--cluster", "local:1"]
    _, err = extract(capsys, pictures, *cache, code=1)
    assert "worker tcp://127.0.0.1:" in err
    assert "it has onceover 0.0.1 (not" in err
    assert "no worker can run this" in err


@pytest.mark.slow
def test_a_stop_keeps_what_is_under_way_and_the_next_run_goes_on(
    tmp_path, options, capsys, preload, same_as_one_process
):
    pictures, cache = write_pictures(tmp_path / "pictures", 60), tmp_path / "many" / "c"
    preload(SLOW)
    stop = threading.Event()
    execution = Execution(
        progress=lambda done, _: stop.set() if done else None, stop=stop, cluster="local:1"
    )
    from engine.backbones.request import BackboneRequest

    request = BackboneRequest(options[1], "own", None, "torch")
    with survey(pictures) as images:
        extractor = Extractor(cache, FeatureRequest(request, "fp32"))
        with pytest.raises(Interrupted, match=r"stopped; \d+ of 120 images are done and kept"):
            extractor.extract(images, execution)
    (space,) = FeatureCache.open(cache).spaces()
    held = len(space.rows())
    assert 0 < held < 120
    again, _ = extract(capsys, pictures, "--cache", cache, *options, "--cluster", "local:1")
    assert (again["computed"], again["hits"]) == (120 - held, held)
    same_as_one_process(pictures, cache)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no process groups")
def test_ctrl_c_in_a_terminal_leaves_the_workers_to_finish(
    tmp_path, options, capsys, monkeypatch, same_as_one_process
):
    pictures, cache = write_pictures(tmp_path / "pictures", 100), tmp_path / "many" / "c"
    (tmp_path / "slow.py").write_text(SLOW)
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__PRELOAD", f'["{tmp_path / "slow.py"}"]')
    where = ["--cache", cache, *options, "--batch-size", "4", "--cluster", "local:1"]
    process = start_extraction(pictures, *where, group=True)
    wait_for_parts(cache, 2, process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "images are done and kept" in errors.splitlines()[-1]
    monkeypatch.delenv("DASK_DISTRIBUTED__WORKER__PRELOAD")
    extract(capsys, pictures, *where)
    same_as_one_process(pictures, cache)


@pytest.mark.slow
def test_workers_started_apart_one_of_which_stands_still(
    tmp_path, options, capsys, same_as_one_process
):
    pictures, cache = write_pictures(tmp_path / "pictures", 60), tmp_path / "many" / "c"
    with ClusterApart(tmp_path / "cluster", 3) as cluster:
        address = json.loads(cluster.address.read_text())["address"]
        with Client(address) as client:
            client.wait_for_workers(3, timeout=300)

        def stand_still():
            while not any(cache.glob("spaces/*/parts/*")):
                time.sleep(0.05)
            cluster.workers[1].send_signal(signal.SIGSTOP)
            time.sleep(5)
            cluster.workers[1].send_signal(signal.SIGCONT)

        thread = threading.Thread(target=stand_still)
        thread.start()
        where = ["--cache", cache, *options, "--cluster"]
        result, _ = extract(capsys, pictures, *where, cluster.address)
        thread.join()
        assert result["computed"] + result["hits"] == 120
        again, _ = extract(capsys, pictures, *where, address)
        assert (again["computed"], again["hits"]) == (0, 120)
    same_as_one_process(pictures, cache)


@pytest.mark.slow
def test_a_scheduler_that_is_killed_ends_the_run_in_one_line_and_another_goes_on(
    tmp_path, options, capsys, same_as_one_process
):
    pictures, cache = write_pictures(tmp_path / "pictures", 60), tmp_path / "many" / "c"
    where = ["--cache", cache, *options, "--cluster"]
    with ClusterApart(tmp_path / "first", 2) as cluster:
        process = start_extraction(pictures, *where, cluster.address)
        wait_for_parts(cache, 2, process)
        cluster.scheduler.kill()
        out, errors = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert ": the cluster failed: " in errors.splitlines()[-1]
    assert "finished work is kept" in errors
    assert "Traceback" not in errors
    held = len(FeatureCache.open(cache).space().index())
    assert 0 < held < 120
    with ClusterApart(tmp_path / "second", 2) as cluster:
        again, _ = extract(capsys, pictures, *where, cluster.address)
    assert again["computed"] <= 120 - held
    same_as_one_process(pictures, cache)


@pytest.mark.parametrize("address", ["local:0", "local:x", "local", "nowhere", "http://h:1"])
def test_what_is_no_cluster_is_a_usage_error(address):
    with pytest.raises(UsageFailure, match="give local:N"), connection.connect(address):
        pass


def test_without_dask_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(Failure, match="pip install"), connection.connect("local:1"):
        pass


def test_a_scheduler_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setattr(connection, "_PATIENCE", 0.5)
    expected = pytest.raises(Failure, match="there is no cluster at tcp")
    with expected, connection.connect("tcp://127.0.0.1:9"):
        pass


def test_a_session_refuses_what_it_cannot_run_exactly(tmp_path, pictures, options, capsys):
    cache = tmp_path / "c"
    extract(capsys, pictures, "--cache", cache, *options)
    model = exported(options)
    with survey(pictures) as images:
        good = job(images, cache, model, this_kind())
        report = Session(good).run(images.samples[:5], "w")
        assert (len(report.rows), report.tally.hits, report.tally.computed) == (5, 5, 0)
        packages = {**good.kind.packages, "numpy": "1.0"}
        refused = [
            (replace(good, kind=replace(good.kind, packages=packages)), "it has numpy"),
            (replace(good, cache=str(tmp_path / "elsewhere")), "does not see the cache"),
            (replace(good, space="0" * 16), "does not see the cache"),
            (replace(good, model=replace(model, path=tmp_path / "m.onnx")), "ONCEOVER_MODELS"),
        ]
        for bad, words in refused:
            with pytest.raises(Failure, match=words):
                Session(bad)
    pictures.rename(tmp_path / "away")
    with pytest.raises(Failure, match="does not see the source"):
        Session(good)


def test_a_job_that_is_stopped_finishes_what_it_has_begun(
    tmp_path, pictures, options, capsys, monkeypatch
):
    cache = tmp_path / "c"
    extract(capsys, pictures, "--cache", cache, *options, "--limit-per-class", "1")
    model = exported(options)
    from engine.runner.worker import NAME, SessionPlugin, stop_job

    plugin, batches = SessionPlugin(), []
    plugin.setup(None)
    worker = SimpleNamespace(plugins={NAME: plugin})
    collect = session.collect

    def stopping(*arguments):
        for batch in collect(*arguments):
            if not batches:
                stop_job("k", worker)
            batches.append(batch)
            yield batch

    monkeypatch.setattr(session, "collect", stopping)
    monkeypatch.setattr(session, "_AHEAD", 4)
    with survey(pictures) as images:
        given = replace(job(images, cache, model, this_kind()), batch_size=2)
        report = plugin.session(given).run(images.samples, "w")
        assert 0 < len(report.rows) < len(images.samples)
        assert not report.refused
        late = plugin.session(given).run(images.samples, "w")
        assert (late.rows, late.refused) == ([], "")
        # A process that has not begun yet is told as well.
        plugin.setup(None)
        stop_job("k", worker)
        assert plugin.session(given).run(images.samples, "w").rows == []
        assert len(plugin.session(replace(given, key="other")).run(images.samples, "w").rows) > 0


def test_a_worker_keeps_the_memory_of_a_picture_for_the_next_one(monkeypatch):
    from engine.runner import worker

    called = []
    monkeypatch.setattr(worker, "keep_freed_memory", lambda: called.append(True))
    worker.SessionPlugin().setup(None)
    assert called == [True]


def test_no_more_tasks_run_at_once_than_there_are_cores(
    tmp_path, pictures, options, capsys, monkeypatch
):
    cache = tmp_path / "c"
    extract(capsys, pictures, "--cache", cache, *options)
    model = exported(options)
    monkeypatch.setattr(session, "available_cores", lambda: 1)
    now, most = [], []
    collect = session.collect

    def counted(*arguments):
        now.append(1)
        most.append(len(now))
        time.sleep(0.02)
        yield from collect(*arguments)
        now.pop()

    monkeypatch.setattr(session, "collect", counted)
    with survey(pictures) as images:
        held = Session(job(images, cache, model, this_kind()))
        threads = [
            threading.Thread(target=held.run, args=(images.samples[:3], "w")) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == [1] * 4


@pytest.mark.slow
def test_shards_are_opened_by_each_worker(tmp_path, options, capsys, same_as_one_process):
    pictures = write_pictures(tmp_path / "pictures", 10)
    for label in ("spots", "stripes"):
        shutil.make_archive(str(tmp_path / label), "tar", pictures, label)
    pattern, cache = tmp_path / "s*.tar", tmp_path / "many" / "c"
    result, _ = extract(capsys, pattern, "--cache", cache, *options, "--cluster", "local:1")
    assert (result["computed"], result["rejected"]) == (20, [])
    same_as_one_process(pattern, cache)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "table"])
def test_workers_read_a_source_of_the_web(tmp_path, options, capsys, same_as_one_process, kind):
    pictures = write_pictures(tmp_path / "web" / "pictures", 8)
    cache = tmp_path / "many" / "c"
    (pictures / "spots" / "empty.jpg").write_bytes(b"")
    names = [path.relative_to(pictures.parent).as_posix() for path in pictures.rglob("*.jpg")]
    rows = [f"{name},{name.split('/')[1]}" for name in [*names, "pictures/spots/none.jpg"]]
    (tmp_path / "web" / "table.csv").write_text("\n".join(["path,label", *rows]))
    for packed in ("zip", "tar"):
        shutil.make_archive(str(tmp_path / "web" / "pets"), packed, pictures)
    with web_server(tmp_path / "web") as server:
        files = {"folder": "pictures/", "table": "table.csv"}
        source = f"{server.url}/{files.get(kind, f'pets.{kind}')}"
        result, _ = extract(capsys, source, "--cache", cache, *options, "--cluster", "local:1")
        assert result["computed"] == 16
        assert len(result["rejected"]) == (2 if kind == "table" else 1)
        same_as_one_process(source, cache)
