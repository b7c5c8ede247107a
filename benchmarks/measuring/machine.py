"""What a benchmark ran on: the machine, the versions, the state of the code. No names, no paths."""

import os
import platform
import subprocess
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from engine.graphs.session import available_cores
from engine.heads.solvers import installed_memory

ROOT = Path(__file__).resolve().parents[2]

_PACKAGES = (
    "numpy", "h5py", "onnx", "onnxruntime", "pillow", "scikit-learn", "keras", "tensorflow",
    "openvino", "torch",
)  # fmt: skip

# Instruction sets that decide what one core can multiply in a cycle, by their names in Linux.
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimddp")


def machine() -> dict[str, Any]:
    """Return the processor, the cores that may be used, the memory in GiB and the system."""
    memory = installed_memory()
    flags = _cpuinfo("flags") or _cpuinfo("Features")
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "memory_gib": round(memory / 2**30, 1) if memory else None,
        "system": f"{platform.system()} {platform.machine()}",
        "instructions": [name for name in _INSTRUCTIONS if name in flags.split()],
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that are timed, where installed."""
    installed = {package for names in packages_distributions().values() for package in names}
    found = {package: version(package) for package in _PACKAGES if package in installed}
    return {"python": platform.python_version(), **found}


def commit() -> str:
    """Return the commit that is checked out, with a + where files differ from it."""
    described = _output(["git", "describe", "--always", "--abbrev=8", "--exclude=*"])
    if not described:
        return "unknown"
    changed = _output(["git", "status", "--porcelain", "--", "engine", "cache", "benchmarks/*.py"])
    return described + ("+" if changed else "")


def _processor() -> str:
    if sys.platform == "darwin":
        return _output(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.machine()
    name = _cpuinfo("model name") or platform.processor() or platform.machine()
    family, model = _cpuinfo("cpu family"), _cpuinfo("model\t")
    return f"{name} (family {family}, model {model})" if family and model else name


def _cpuinfo(key: str) -> str:
    """Return the first value of a key of /proc/cpuinfo; nothing where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")


def _output(command: list[str]) -> str:
    try:
        finished = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    except OSError:
        return ""
    return finished.stdout.strip() if finished.returncode == 0 else ""


def environment() -> dict[str, str]:
    """Return this process's environment without the settings that slow NumPy's BLAS down.

    Some machines pin OpenBLAS to the kernel of an older processor.
    """
    slowing = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    return {name: value for name, value in os.environ.items() if name not in slowing}
