"""The most memory that this process has taken, as the device has it. Knows no models and no requests."""

import resource
from pathlib import Path

import mlx.core as mx

STATUS = Path("/proc/self/status")


def peak_bytes(kind: str) -> int:
    """The most bytes so far: of the machine's memory, or of the graphics card's; on a Mac the two are one, and the larger figure counts."""
    match kind:
        case "cuda":
            return int(mx.get_peak_memory())
        case "metal":
            return max(int(mx.get_peak_memory()), resident_peak_bytes())
    return resident_peak_bytes()


def resident_peak_bytes(status: Path = STATUS) -> int:
    """The most that the process had in the machine's memory. Linux's getrusage would count the program that started it as well."""
    if status.exists():
        lines = status.read_text("ascii", errors="replace").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
