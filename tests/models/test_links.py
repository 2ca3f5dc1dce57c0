"""Where links lead: just what realpath says of each, with the folders on the way looked at once."""

import os
from pathlib import Path

import pytest

from mlx_harmony.models.links import Links


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder, reached through a link, with links of every kind beside a file, a folder and a name that nobody has."""
    real, blobs, store = (tmp_path / name for name in ("real", "blobs", "store"))
    for each in (real, blobs, store):
        each.mkdir()
    (store / "payload").write_text("p")
    (blobs / "one").write_text("1")
    (blobs / "shared").symlink_to("../store/payload")
    (tmp_path / "way").symlink_to(blobs)
    (real / "file").write_text("f")
    (real / "inner").mkdir()
    targets = {
        "plain": "../blobs/one",
        "shared": "../blobs/shared",
        "way": "../way/one",
        "absolute": str(blobs / "one"),
        "gone": "../blobs/nothing",
        "nowhere": "../no/such/folder/file",
        "up": "..",
        "here": ".",
        "slash": "../blobs/",
        "dots": "../blobs/../blobs/./one",
        "through": "file/one",
        "circle": "circle",
        "there": "back",
        "back": "there",
        "out": "/etc/passwd",
    }
    for name, target in targets.items():
        (real / name).symlink_to(target)
    (tmp_path / "folder").symlink_to(real)
    return tmp_path / "folder"


def test_every_link_leads_where_realpath_says(folder: Path) -> None:
    links = Links(str(folder))
    names = (*sorted(os.listdir(folder)), "nobody")
    assert len(names) == 18
    assert {name: links.real(name) for name in names} == {name: os.path.realpath(folder / name) for name in names}


def test_a_folder_that_many_links_lead_into_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "folder").mkdir()
    for at in range(20):
        (tmp_path / "blobs" / str(at)).write_text("")
        (tmp_path / "folder" / str(at)).symlink_to(f"../blobs/{at}")
    asked: list[str] = []
    realpath = os.path.realpath
    monkeypatch.setattr("os.path.realpath", lambda path: asked.append(str(path)) or realpath(path))
    links = Links(str(tmp_path / "folder"))
    assert [links.real(str(at)) for at in range(20)] == [str(tmp_path / "blobs" / str(at)) for at in range(20)]
    assert len(asked) == 2, asked
