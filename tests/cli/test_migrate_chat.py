"""Chat files of earlier releases: into version 2 beside the old ones, into a folder, or into the app; nothing is overwritten."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from mlx_harmony.cli import chats, migrate_chat
from mlx_harmony.cli.errors import DONE, FAILED
from mlx_harmony.cli.main import main
from tests.cli.conftest import Recorded

V1 = {
    "metadata": {"model": "some/model", "hyperparameters": {"seed": 7}, "created_at": "2024-05-01T10:00:00"},
    "messages": [
        {"role": "user", "content": "Hello there", "timestamp": "2024-05-01T10:00:01"},
        {"role": "assistant", "content": "Hi", "timestamp": "2024-05-01T10:00:02"},
    ],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path / "home"))
    old = tmp_path / "old"
    old.mkdir()
    (old / "one.json").write_text(json.dumps(V1))
    (old / "broken.json").write_text("{ no chat")
    (old / "notes.txt").write_text("not a chat")
    return old


def run(terminal: Recorded, command: Any, *words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    code = command.run(parser.parse_args(list(words)), terminal)
    assert isinstance(code, int)
    return code


def test_a_file_of_version_1_becomes_one_of_version_2_beside_it(folder: Path, pipe: Recorded) -> None:
    assert run(pipe, migrate_chat, str(folder / "one.json")) == DONE
    written = folder / "one.v2.json"
    assert pipe.out.getvalue() == f"{folder / 'one.json'}: 1 chat, 2 messages -> {written}\n"
    document = json.loads(written.read_text())
    (chat,) = document["chats"].values()
    assert document["schema_version"] == 2 and document["chat_order"] == [chat["chat_id"]]
    assert [(each["role"], each["content"]) for each in chat["messages"]] == [("user", "Hello there"), ("assistant", "Hi")]
    assert chat["messages"][1]["parent_id"] == chat["messages"][0]["id"]
    assert chat["metadata"]["model_path"] == "some/model" and chat["metadata"]["hyperparameters"]["seed"] == 7
    assert json.loads((folder / "one.json").read_text()) == V1


def test_one_bad_file_of_a_folder_is_named_and_the_others_are_done(folder: Path, pipe: Recorded, tmp_path: Path) -> None:
    assert run(pipe, migrate_chat, str(folder), "--to", str(tmp_path / "new")) == FAILED
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["one.json"]
    assert f"{folder / 'broken.json'}: The file is no JSON" in pipe.err.getvalue() and "notes.txt" not in pipe.err.getvalue()


def test_what_is_there_is_not_overwritten_and_a_second_run_takes_no_file_of_the_first(folder: Path, pipe: Recorded) -> None:
    (folder / "broken.json").unlink()
    (folder / "one.v2.json").write_text("mine")
    assert run(pipe, migrate_chat, str(folder)) == FAILED
    assert "is there already" in pipe.err.getvalue() and (folder / "one.v2.json").read_text() == "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "one.json", "one.v2.json"]


def test_a_dry_run_tells_and_writes_nothing(folder: Path, pipe: Recorded, tmp_path: Path) -> None:
    assert run(pipe, migrate_chat, str(folder), "--dry-run", "--json") == FAILED
    broken, one = json.loads(pipe.out.getvalue())
    assert (one["chats"], one["messages"], one["written"], one["error"]) == (1, 2, "", "") and broken["error"]
    assert run(pipe, migrate_chat, str(folder / "one.json"), "--dry-run", "--into-app") == DONE
    assert not (tmp_path / "home").exists() and not (folder / "one.v2.json").exists()


def test_chats_go_into_the_app_beside_those_that_are_there(folder: Path, pipe: Recorded) -> None:
    for _ in range(2):
        assert run(pipe, migrate_chat, str(folder / "one.json"), "--into-app") == DONE
    assert "some/model is not on this machine" in pipe.err.getvalue()
    listed = Recorded(person=False)
    assert run(listed, chats, "--json") == DONE
    found = json.loads(listed.out.getvalue())
    assert [(each["title"], each["messages"]) for each in found] == [("Hello there", 2)] * 2
    searched = Recorded(person=False)
    assert run(searched, chats, "--search", "hello") == DONE
    assert len(searched.out.getvalue().splitlines()) == 2 and found[0]["id"] in searched.out.getvalue()
    nothing = Recorded(person=False)
    assert run(nothing, chats, "--search", "unheard") == DONE and nothing.out.getvalue() == "No chats.\n"


def test_a_folder_without_chats_and_a_file_that_is_not_there_are_said(
    folder: Path, tmp_path: Path, pipe: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(pipe, migrate_chat, str(empty)) == FAILED and "no chat file" in pipe.err.getvalue()
    with pytest.raises(SystemExit) as ended:
        main(["migrate-chat", str(tmp_path / "absent.json")])
    assert ended.value.code == 2 and "there is no file or folder" in capsys.readouterr().err
