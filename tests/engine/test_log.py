"""What a worker writes to stderr is kept, never beyond the cap, and never at the cost of the worker."""

from pathlib import Path

from mlx_harmony.engine.log import CappedLog


def test_lines_are_kept_and_the_last_one_is_at_hand(tmp_path: Path) -> None:
    log = CappedLog(tmp_path / "logs" / "worker.log")
    assert log.last_line == ""
    log.write(b"first\n")
    log.write(b"second\n  \n")
    assert log.path.read_bytes() == b"first\nsecond\n  \n"
    assert log.last_line == "second"


def test_the_log_never_grows_beyond_twice_its_cap(tmp_path: Path) -> None:
    log = CappedLog(tmp_path / "worker.log", cap_bytes=1000)
    for number in range(200):
        log.write(b"%04d %s\n" % (number, b"x" * 50))
    log.write(b"y" * 5000 + b"\nend\n")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2000
    assert log.last_line == "end"


def test_a_folder_that_cannot_be_written_costs_only_the_log(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    log = CappedLog(tmp_path / "file" / "logs" / "worker.log")
    log.write(b"still here\n")
    assert log.last_line == "still here"
