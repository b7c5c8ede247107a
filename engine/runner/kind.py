"""What features may depend on beside their space: versions of packages, and the processor."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Packages that have a say in a feature. Another version of one may give other bits.
_PACKAGES = ("onceover", "onnxruntime", "numpy", "pillow", "cykooz-resizer", "pi-heif")

# What of a processor's instruction set ONNX Runtime chooses its kernels by.
_FLAGS = frozenset(
    {"avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}
)


@dataclass(frozen=True)
class Kind:
    """What features may depend on beside their space: packages with versions, and processor."""

    packages: Mapping[str, str]
    processor: str


def this_kind() -> Kind:
    """Return what this process runs on."""
    return Kind({name: _version(name) for name in _PACKAGES}, _processor())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run out of a checkout, or one that is optional
        return "none"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # no Linux: nothing says so in a word
        return f"{platform.machine()} {platform.processor()}".strip()
    named = (line.partition(":") for line in lines)
    flags = next((v for k, _, v in named if k.strip().lower() in ("flags", "features")), "")
    return " ".join([platform.machine(), *sorted(_FLAGS & set(flags.split()))])
