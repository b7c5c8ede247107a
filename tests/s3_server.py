"""Every kind of source out of an S3 server, by one process and by workers of a cluster; by hand.

    uv run --with s3fs --with 'moto[server]' python tests/s3_server.py

moto serves S3 on this machine, nothing leaves it. Each kind must give the features and rows that
the same files give from disk; what has not changed must not be read again, and what is missing be
a rejected image. Prints a line for each; stops at the first that differs.
"""

import contextlib
import io
import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from conftest import write_pictures, write_tiny_backbone
from content_samples import content

from engine.extract import main as extract_main

BUCKET = "onceover-pets"
requests: Counter[str] = Counter()


class Requests(logging.Handler):
    """Counts what moto's server says that it was asked for."""

    def emit(self, record):
        words = re.sub(r"\x1b\[[0-9]*m", "", record.getMessage()).split('"')
        if len(words) > 1:
            method, _, rest = words[1].partition(" ")
            requests[
                f"{method} {'list' if 'list-type' in rest or 'prefix' in rest else 'object'}"
            ] += 1


def extract(source, cache, options, *more):
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
        code = extract_main([source, "--cache", str(cache), *options, *more, "--json"])
    assert code == 0, output.getvalue()
    return json.loads(output.getvalue())


def plain(state):
    """Return what a cache says, whatever its sources, and faults of reading, are called."""
    (rows,) = state.rows.values()
    return state.features, [
        replace(row, reason="" if not row.digest else row.reason) for row in rows
    ]


def write_sources(folder: Path) -> dict[str, str]:
    """Write sources of every kind below a folder; return their paths there, by kind."""
    pictures = write_pictures(folder / "pictures", 20)
    (pictures / "spots" / "empty.jpg").write_bytes(b"")
    (pictures / "spots" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    names = sorted(path.relative_to(folder).as_posix() for path in pictures.rglob("*.jpg"))
    rows = [f"{name},{name.split('/')[1]}" for name in [*names, "pictures/none.jpg"]]
    (folder / "table.csv").write_text("\n".join(["path,label", *rows]))
    for packed in ("zip", "tar", "gztar"):
        shutil.make_archive(str(folder / "pets"), packed, pictures)
    for label in ("spots", "stripes"):
        shutil.make_archive(str(folder / f"shard-{label}"), "tar", pictures, label)
    kinds = {"folder": "pictures", "table": "table.csv", "shards": "shard-{spots,stripes}.tar"}
    return kinds | {kind: f"pets.{kind}" for kind in ("zip", "tar", "tar.gz")}


def main() -> None:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.INFO)
    logging.getLogger("werkzeug").handlers = [Requests()]
    logging.getLogger("werkzeug").propagate = False
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "FSSPEC_S3_ENDPOINT_URL": f"http://{host}:{port}",
    }
    import s3fs

    files = s3fs.S3FileSystem(endpoint_url=os.environ["FSSPEC_S3_ENDPOINT_URL"])
    files.mkdir(BUCKET)
    with tempfile.TemporaryDirectory() as top:
        work = Path(top)
        os.environ["ONCEOVER_MODELS"] = str(work / "models")
        backbone = write_tiny_backbone(work / "tiny.onnx")
        options = ["--backbone", str(backbone), "--preprocessing", "torch", "--precision", "fp32"]
        kinds = write_sources(work / "sources")
        files.put(str(work / "sources"), f"{BUCKET}/", recursive=True)
        top_key = next(key for key in files.find(BUCKET) if key.endswith("table.csv"))
        address = "s3://" + top_key.rpartition("/")[0]
        for kind, path in kinds.items():
            here, there = work / kind / "here" / "c", work / kind / "there" / "c"
            extract(str(work / "sources" / path), here, options)
            requests.clear()
            first = extract(f"{address}/{path}", there, options)
            asked = dict(requests)
            assert plain(content(here.parent)) == plain(content(there.parent)), kind
            requests.clear()
            again = extract(f"{address}/{path}", there, options)
            assert again["computed"] == 0
            print(
                f"{kind}: {first['computed']} computed, {len(first['rejected'])} rejected, as from "
                f"disk; requests {asked}, in the second run {dict(requests)}"
            )
            if kind != "tar.gz":
                many = work / kind / "many" / "c"
                extract(f"{address}/{path}", many, options, "--cluster", "local:2")
                assert plain(content(here.parent)) == plain(content(many.parent)), kind
                print(f"{kind}: the same by two workers")
        changed = next(
            key for key in files.find(top_key.rpartition("/")[0]) if key.endswith("0.jpg")
        )
        files.pipe_file(changed, files.cat_file(changed) + b"other")
        third = extract(f"{address}/pictures", work / "folder" / "there" / "c", options)
        assert third["computed"] == 1
        print("one object changed: one image is read and run again")
    server.stop()


if __name__ == "__main__":
    sys.exit(main())
