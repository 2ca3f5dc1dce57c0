"""How much memory may be taken, and which kind of device models will run on, told without mlx. Reads what the system says of itself."""

import ctypes
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

DeviceKind = Literal["cpu", "cuda", "metal"]

MEMINFO = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")
NVIDIA = Path("/proc/driver/nvidia/version")
NVML = "libnvidia-ml.so.1"
CUDA_BACK_ENDS = ("mlx-cuda-13", "mlx-cuda-12")
LARGE_MAC_BYTES = 36 * 2**30


def available_bytes(meminfo: Path = MEMINFO, group: Path = GROUP) -> int:
    """Memory that may be taken without swapping, and without a container's limit ending the process."""
    return min(_free_of_machine(meminfo), _free_of_group(group))


def graphics_free_bytes(library: Callable[[str], Any] = ctypes.CDLL) -> int | None:
    """What is free on the graphics card that mlx takes, as NVIDIA's own library tells it; None where that cannot be asked."""
    try:
        nvml = library(NVML)
    except OSError:
        return None
    card, told = ctypes.c_void_p(), _NvmlMemory()
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        failed = _find_card(nvml, card) or nvml.nvmlDeviceGetMemoryInfo(card, ctypes.byref(told))
        return None if failed else int(told.free)
    finally:
        nvml.nvmlShutdown()


class _NvmlMemory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


def _find_card(nvml: Any, card: ctypes.c_void_p) -> int:
    """Points `card` to the first one that this program may see; 0 where that worked."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if first.isdigit():
        return int(nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(first)), ctypes.byref(card)))
    return int(nvml.nvmlDeviceGetHandleByUUID(first.encode(), ctypes.byref(card)))


def wired_limit_bytes(memory_bytes: int | None = None, limit_mb: int | None = None) -> int:
    """How much of a Mac's memory its GPU may keep in place: what the owner has set, else two thirds, three quarters on a large one."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if memory_bytes is None else memory_bytes
    limit_mb = _sysctl("iogpu.wired_limit_mb") if limit_mb is None else limit_mb
    if limit_mb:
        return min(limit_mb * 2**20, memory_bytes)
    return memory_bytes * 3 // 4 if memory_bytes >= LARGE_MAC_BYTES else memory_bytes * 2 // 3


def _sysctl(name: str) -> int:
    """A number that macOS tells of itself; 0 where it does not."""
    ask = getattr(ctypes.CDLL(None), "sysctlbyname", None)
    value, size = ctypes.c_uint64(), ctypes.c_size_t(ctypes.sizeof(ctypes.c_uint64))
    if ask is None or ask(name.encode(), ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        return 0
    return int(value.value)


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
