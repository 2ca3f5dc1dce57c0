"""A saved file is there whole or not at all, is never written over unasked, and is believed only where every bit of it is right."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlx_harmony.errors import InvalidRequest, StorageError
from mlx_harmony.shelf.bundle import LEFT_OVER_S, Bundle, read_arrays, read_bundle, write_bundle
from mlx_harmony.shelf.piece import Head, Part
from mlx_harmony.shelf.shelf import Identity

ROOT = Path(__file__).parents[2]

IDENTITY = Identity(model="/models/a", weights="w", format="f", kv="k", numerics="n")
RUN = Head(id="aa", kind="run", parent="", start=0, end=3, tokens=bytes(12), parts=(Part(shape=(3, 2), dtype="uint8", bytes=6),))
STATE = Head(id="ab", kind="state", parent="aa", start=0, end=2, parts=(Part(shape=(4,), dtype="uint8", bytes=4),))
BUNDLE = Bundle(identity=IDENTITY, run=RUN, states=(STATE,), app="0")
ARRAYS = [memoryview(b"abcdef"), memoryview(b"ghij")]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    saved = write_bundle(tmp_path / "a.kv", BUNDLE, ARRAYS)
    assert (saved.tokens, saved.bytes, saved.model) == (2, (tmp_path / "a.kv").stat().st_size, "/models/a")
    assert read_bundle(tmp_path / "a.kv") == BUNDLE
    assert read_arrays(tmp_path / "a.kv", BUNDLE) == [[b"abcdef"], [b"ghij"]]
    assert (tmp_path / "a.kv").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["a.kv"]


def test_a_file_is_not_written_over_unasked(tmp_path: Path) -> None:
    (tmp_path / "a.kv").write_text("mine")
    with pytest.raises(InvalidRequest, match="is there already"):
        write_bundle(tmp_path / "a.kv", BUNDLE, ARRAYS)
    assert (tmp_path / "a.kv").read_text() == "mine"
    write_bundle(tmp_path / "a.kv", BUNDLE, ARRAYS, replace=True)
    assert read_bundle(tmp_path / "a.kv") == BUNDLE
    with pytest.raises(InvalidRequest, match="is there already"):
        write_bundle(tmp_path, BUNDLE, ARRAYS, replace=True)
    with pytest.raises(StorageError, match="could not be saved"):
        write_bundle(tmp_path / "no" / "a.kv", BUNDLE, ARRAYS)


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    write_bundle(tmp_path / "a.kv", BUNDLE, ARRAYS)
    good = (tmp_path / "a.kv").read_bytes()
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        (tmp_path / "a.kv").write_bytes(bad)
        with pytest.raises(InvalidRequest, match="cannot be loaded: it"):
            read_bundle(tmp_path / "a.kv")


def test_every_shortened_file_is_refused_and_so_is_a_longer_one(tmp_path: Path) -> None:
    write_bundle(tmp_path / "a.kv", BUNDLE, ARRAYS)
    good = (tmp_path / "a.kv").read_bytes()
    for bad in [*(good[:length] for length in range(len(good))), good + b"x"]:
        (tmp_path / "a.kv").write_bytes(bad)
        with pytest.raises(InvalidRequest, match="cannot be loaded: it"):
            read_bundle(tmp_path / "a.kv")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_bundle(tmp_path / "nothing.kv")


KILLED = """
import sys, time
from pathlib import Path
from mlx_harmony.shelf.bundle import write_bundle
from tests.shelf.test_bundle import BUNDLE

def arrays():
    yield memoryview(b"abcdef")
    print("writing", flush=True)
    time.sleep(60)

write_bundle(Path(sys.argv[1]), BUNDLE, arrays())
"""


def test_a_process_that_is_killed_while_it_saves_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.kv"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert not path.exists()
    write_bundle(path, BUNDLE, ARRAYS)
    assert os.listdir(tmp_path) == ["a.kv"], "the next save takes away what it left"


def test_what_another_process_is_writing_is_left_alone_until_it_is_old(tmp_path: Path) -> None:
    left = tmp_path / f".a.kv.{os.getppid()}.new"
    left.touch()
    write_bundle(tmp_path / "a.kv", BUNDLE, ARRAYS)
    assert left.exists()
    os.utime(left, (0, time.time() - LEFT_OVER_S - 1))
    write_bundle(tmp_path / "a.kv", BUNDLE, ARRAYS, replace=True)
    assert os.listdir(tmp_path) == ["a.kv"]
