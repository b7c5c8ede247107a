"""One set of images in every kind of source, its classes named so that encodings matter."""

import csv
import zipfile

import numpy as np
from source_samples import parquet, tarred, zipped, zipped_in

CATS = "Chats à longs poils"


def write_folder(path, members):
    for name, data in members:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_csv(path, members):
    write_folder(path.parent / "images", members)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["filename", "label"])
        table.writerows((f"images/{name}", name.split("/")[1]) for name, _ in members)
    return path


def write_parquet(path, members):
    """As on the hub: bytes with the file's own name, labels as numbers."""
    classes = sorted({name.split("/")[1] for name, _ in members})
    images = [{"bytes": data, "path": name.rsplit("/", 1)[1]} for name, data in members]
    labels = [classes.index(name.split("/")[1]) for name, _ in members]
    return parquet(path, {"image": images, "label": labels}, {"label": classes}, group=100)


def write_webdataset(folder, members):
    """Write shards as people do: shuffled, with keys that say nothing of the names."""
    folder.mkdir()
    members = [members[at] for at in np.random.default_rng(1).permutation(len(members))]
    each = -(-len(members) // 3)
    for shard in range(3):
        files = []
        for number in range(shard * each, min(shard * each + each, len(members))):
            name, data = members[number]
            files.append((f"{number:06d}.jpg", data))
            files.append((f"{number:06d}.cls", name.split("/")[1].encode()))
        tarred(folder / f"pets-{shard:03d}.tar", *files)
    return folder / "pets-{000..002}.tar"


KINDS = {
    "folder": lambda folder, members: write_folder(folder / "pets", members),
    "zip": lambda folder, members: zipped(folder / "pets.zip", *members),
    "zip, UTF-8 unsaid": lambda folder, members: zipped_in("utf-8", folder / "u.zip", *members),
    "zip, cp850": lambda folder, members: zipped_in("cp850", folder / "c.zip", *members),
    "tar": lambda folder, members: tarred(folder / "pets.tar", *members[::-1]),
    "tar.gz": lambda folder, members: tarred(folder / "p.tar.gz", *members[::-1], mode="w:gz"),
    "csv": lambda folder, members: write_csv(folder / "pets.csv", members[::-1]),
    "parquet": lambda folder, members: write_parquet(folder / "pets.parquet", members),
    "WebDataset": lambda folder, members: write_webdataset(folder / "shards", members),
}


def photographs(shared_data):
    """Return the members of the archive of photographs, one of its classes renamed."""
    with zipfile.ZipFile(shared_data / "cats-dogs-2000.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        return [(name.replace("/Cat/", f"/{CATS}/"), archive.read(name)) for name in names]
