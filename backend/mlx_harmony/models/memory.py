"""How much memory may be taken, and which kind of device models will run on, told without mlx. Reads what the system says of itself."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

DeviceKind = Literal["cpu", "cuda", "metal"]

MEMINFO = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")
NVIDIA = Path("/proc/driver/nvidia/version")
CUDA_BACK_ENDS = ("mlx-cuda-13", "mlx-cuda-12")


def available_bytes(meminfo: Path = MEMINFO, group: Path = GROUP) -> int:
    """Memory that may be taken without swapping, and without a container's limit ending the process."""
    return min(_free_of_machine(meminfo), _free_of_group(group))


def likely_device() -> DeviceKind:
    """What mlx will choose in a model's process."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "metal"
    return "cuda" if NVIDIA.exists() and any(map(_installed, CUDA_BACK_ENDS)) else "cpu"


def _installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _free_of_machine(meminfo: Path) -> int:
    for name, kilobytes in _pairs(meminfo):
        if name == "MemAvailable:":
            return kilobytes * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _free_of_group(group: Path) -> int:
    """What a container's limit leaves; files kept in memory are given up when something else needs the room."""
    try:
        limit = (group / "memory.max").read_text("ascii").strip()
        used = int((group / "memory.current").read_text("ascii"))
    except (OSError, ValueError):
        return sys.maxsize
    files = sum(size for name, size in _pairs(group / "memory.stat") if name in ("active_file", "inactive_file"))
    return max(0, int(limit) - used + files) if limit.isdigit() else sys.maxsize


def _pairs(path: Path) -> list[tuple[str, int]]:
    """The lines `name number …` of one of the system's files; none where there is no such file."""
    try:
        lines = path.read_text("ascii").splitlines()
    except OSError:
        return []
    parts = (line.split() for line in lines)
    return [(part[0], int(part[1])) for part in parts if len(part) > 1 and part[1].isdigit()]
