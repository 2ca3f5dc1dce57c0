"""A worker's stderr on disk, never larger than twice its cap. Knows nothing of what is said in it."""

from pathlib import Path

CAP_BYTES = 1024 * 1024
TAIL_BYTES = 2000


class CappedLog:
    """Appends to `path`; at the cap the file becomes `path`.1 and a new one begins. The last lines are kept at hand."""

    def __init__(self, path: Path, cap_bytes: int = CAP_BYTES) -> None:
        self.path = path
        self.cap_bytes = cap_bytes
        self._tail = b""

    def write(self, data: bytes) -> None:
        """Append. A full or read-only disk costs the log, never the worker."""
        self._tail = (self._tail + data)[-TAIL_BYTES:]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.path.exists() and self.path.stat().st_size + len(data) > self.cap_bytes:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
            with self.path.open("ab") as file:
                file.write(data[-self.cap_bytes :])
        except OSError:
            return

    @property
    def last_line(self) -> str:
        """The last line that says something, or ""."""
        lines = [line.strip() for line in self._tail.decode("utf-8", "replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")[:300]
