"""kill -9 before every single access to the disk: after the next start everything is in place or everything is in the trash."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlx_harmony.models.trash import Trash
from tests.fixtures.hub_cache import model_files, tree
from tests.fixtures.killed_trash import act
from tests.models.test_holdings import two_revisions

ROOT = Path(__file__).parents[2]
Killer = subprocess.Popen[str]


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    command = [sys.executable, "-m", "tests.fixtures.killed_trash"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=20)


def ended(killer: Killer, action: str, folder: Path, moment: int) -> bool:
    """Whether the action came to its end before it was killed."""
    assert killer.stdin is not None and killer.stdout is not None
    killer.stdin.write(f"{action} {folder} {moment}\n")
    killer.stdin.flush()
    told = killer.stdout.readline().strip()
    assert told in ("killed", "done"), told
    return told == "done"


def shape(folder: Path) -> tuple[dict[str, str], int]:
    """The cache as it is, by paths within it, and how much is in the trash, all of which can be brought back."""
    items = Trash(folder / "home").items()
    assert all(item.problem == "" for item in items)
    return {str(Path(path).relative_to(folder)): told for path, told in tree(folder / "hub").items()}, len(items)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("removed", ["revision", "whole"])
@pytest.mark.parametrize("action", ["remove", "restore", "empty"])
def test_a_kill_leaves_all_or_nothing(killer: Killer, tmp_path: Path, removed: str, action: str) -> None:
    folder, before = tmp_path / "round", tmp_path / "before"
    cache = two_revisions(folder / "hub")
    cache.revision("org/A", "1" * 40, model_files())
    (cache.repository("org/B") / "refs" / "v1").write_text("1" * 40)
    if action != "remove":
        act(removed, folder)
    start = shape(folder)
    folder.rename(before)
    ends: list[tuple[dict[str, str], int]] = []
    moment, done = 0, False
    while not done:
        moment += 1
        shutil.copytree(before, folder, symlinks=True)
        done = ended(killer, removed if action == "remove" else action, folder, moment)
        Trash(folder / "home").recover()
        ends.append(shape(folder))
        shutil.rmtree(folder)
    assert ends[-1] != start
    assert all(end in (start, ends[-1]) for end in ends)
    assert moment > 10 and start in ends[:-1]


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("action", ["revision", "restore", "empty"])
def test_a_recovery_that_is_killed_itself_is_taken_up_by_the_next(killer: Killer, tmp_path: Path, action: str) -> None:
    folder, before = tmp_path / "round", tmp_path / "before"
    two_revisions(folder / "hub")
    if action != "revision":
        act("revision", folder)
    start = shape(folder)
    # Stopped where about half was done.
    assert not ended(killer, action, folder, 16)
    folder.rename(before)
    ends: list[tuple[dict[str, str], int]] = []
    moment, done = 0, False
    while not done:
        moment += 1
        shutil.copytree(before, folder, symlinks=True)
        done = ended(killer, "recover", folder, moment)
        Trash(folder / "home").recover()
        ends.append(shape(folder))
        shutil.rmtree(folder)
    assert all(end == ends[-1] for end in ends) and moment > 2
    assert (ends[-1] == start) == (action == "revision")
