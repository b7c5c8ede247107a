"""engine.runner.connection: a scheduler that asks for certificates."""

import json
import shutil
import subprocess
from types import SimpleNamespace

import pytest
from cluster_samples import ClusterApart, start_extraction
from conftest import write_pictures
from content_samples import content

from cache.failures import Failure
from engine.extract import main as extract_main
from engine.process.execution import Execution
from engine.runner import cluster, connection


def certificate(folder):
    """Write a key and its own certificate; return their paths."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here")
    key, file = folder / "key.pem", folder / "certificate.pem"
    kind = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=onceover", "-keyout", str(key), "-out", str(file)]
    subprocess.run([*kind, *names], check=True, capture_output=True)
    return key, file


@pytest.mark.slow
def test_a_scheduler_with_certificates(tmp_path, tiny_backbone, capsys, monkeypatch):
    key, file = certificate(tmp_path)
    tls = ["--tls-ca-file", str(file), "--tls-cert", str(file), "--tls-key", str(key)]
    pictures = write_pictures(tmp_path / "pictures", 6)
    kind = ["--backbone", str(tiny_backbone), "--preprocessing", "torch", "--precision", "fp32"]
    arguments = [str(pictures), "--json", "--quiet", *kind, "--cache"]
    monkeypatch.setattr(connection, "_PATIENCE", 20)
    with ClusterApart(tmp_path / "cluster", 1, "--protocol", "tls", *tls) as cluster:
        address = json.loads(cluster.address.read_text())["address"]
        assert address.startswith("tls://")
        where = ["--cluster", address]
        assert extract_main([*arguments, str(tmp_path / "none" / "c"), *where]) == 1
        errors = capsys.readouterr().err
        assert "tls://" in errors
        assert "asks for certificates; name the files in DASK_" in errors
        assert len(errors.splitlines()) == 1
        names = {"CA_FILE": file, "CLIENT__CERT": file, "CLIENT__KEY": key}
        for name, path in names.items():
            monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{name}", str(path))
        process = start_extraction(*arguments, tmp_path / "many" / "c", *where)
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert json.loads(out)["samples"] == 12
    assert extract_main([*arguments, str(tmp_path / "one" / "c")]) == 0
    assert content(tmp_path / "many") == content(tmp_path / "one")


def test_a_scheduler_s_file_that_is_no_such_file_is_one_line(tmp_path):
    file = tmp_path / "s.json"
    file.write_text("{}")
    with pytest.raises(Failure, match="there is no cluster at"), connection.connect(str(file)):
        pass


@pytest.mark.slow
def test_a_second_ctrl_c_is_not_followed_by_dask_s_wait_for_its_cluster():
    clusters = []

    def interrupted():
        with connection.connect("local:1") as client:
            clusters.append(client.cluster)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [local.shutdown_on_close for local in clusters] == [False]


def test_a_number_of_threads_says_nothing_to_workers(monkeypatch, caplog):
    def unreachable(address):
        raise Failure(f"there is no cluster at {address}")

    monkeypatch.setattr(cluster, "connect", unreachable)
    images = SimpleNamespace(source=SimpleNamespace(sequential=False))
    choice, execution = SimpleNamespace(space=None), Execution(threads=3, cluster="local:1")
    with pytest.raises(Failure, match="no cluster at local:1"):
        cluster.run_on_cluster(images, choice, None, None, execution)
    assert "each worker's own" in caplog.text
