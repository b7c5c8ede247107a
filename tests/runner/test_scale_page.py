"""docs/scale.md: its scripts and manifests, as far as they can be tried without a cluster."""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from conftest import write_pictures

from cache.store import FeatureCache

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_job_array_runs_task_by_task(tmp_path, tiny_backbone):
    prepare, array = blocks("bash")
    shared, programs = tmp_path / "shared", tmp_path / "bin"
    programs.mkdir()
    write_pictures(shared / "images", 6)
    # What SLURM would run, which tells a step its cores anew; and a small backbone in place of the
    # one that needs its weights.
    (cores,) = re.findall(r"#SBATCH .*(--cpus-per-task=\d+)", array)
    program(programs / "srun", f'test "$1" = {cores} && shift && exec "$@"')
    options = f"--backbone {tiny_backbone} --preprocessing torch --quiet"
    program(programs / "onceover", f'exec {sys.executable} -m onceover "$@" {options}')
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }

    def run(script, count, task):
        text = script.replace("/shared", str(shared)).replace("/100", f"/{count}")
        assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
        subprocess.run(
            ["bash", "-e"],
            input=text.replace("0-99", f"0-{count - 1}"),
            text=True,
            check=True,
            env={**environment, "SLURM_ARRAY_TASK_ID": str(task)},
        )

    run(prepare, 2, 0)
    held = []
    for task in range(2):
        run(array, 2, task)
        held.append(len(FeatureCache.open(shared / "cache").space().index()))
    assert 0 < held[0] < held[1] == 12


def test_the_python_of_the_page_is_python():
    for block in blocks("python"):
        ast.parse(block)


def test_the_manifest_is_what_the_operator_reads():
    # Looked at once with the schema that the operator itself installs (dask-kubernetes 2026.3).
    (manifest,) = map(yaml.safe_load, blocks("yaml"))
    assert (manifest["apiVersion"], manifest["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    worker, scheduler = manifest["spec"]["worker"], manifest["spec"]["scheduler"]
    (works,), (schedules,) = worker["spec"]["containers"], scheduler["spec"]["containers"]
    assert works["image"] == schedules["image"]
    names = {port["name"]: port["containerPort"] for port in schedules["ports"]}
    assert {port["targetPort"] for port in scheduler["service"]["ports"]} == set(names)
    assert scheduler["service"]["selector"]["dask.org/cluster-name"] == manifest["metadata"]["name"]
    threads = works["args"][works["args"].index("--nthreads") + 1]
    assert threads == works["resources"]["limits"]["cpu"] == works["resources"]["requests"]["cpu"]


@pytest.mark.parametrize("role", ["worker", "scheduler"])
def test_the_commands_of_the_manifest_are_dask_s(role):
    (manifest,) = map(yaml.safe_load, blocks("yaml"))
    (container,) = manifest["spec"][role]["spec"]["containers"]
    program, command, *options = container["args"]
    assert (program, command) == ("dask", role)
    names = [option for option in options if option.startswith("--")]
    (entry,) = entry_points(group="dask_cli", name=role)
    known = {option for parameter in entry.load().params for option in parameter.opts}
    assert set(names) <= known


def test_the_dockerfile_installs_what_a_worker_needs():
    (text,) = blocks("dockerfile")
    words = [line.split(maxsplit=1) for line in text.strip().splitlines()]
    assert [word for word, _ in words] == ["FROM", "COPY", "RUN", "ENV"]
    assert "/src[dask,remote]" in text
