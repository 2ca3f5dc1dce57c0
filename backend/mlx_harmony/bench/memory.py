"""The most memory that a process has had, as its system tells it. Knows no models."""

import subprocess
from pathlib import Path


def peak_memory_bytes(pid: int) -> int | None:
    """The most a process has had so far; where the system keeps no such figure what it has now, and None where it tells neither."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        lines = status.read_text("ascii", errors="replace").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    try:
        told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return None
    return int(told) * 1024 if told.isdigit() else None
