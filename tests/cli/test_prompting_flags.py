"""Profiles and prompt configs on the command line: what they change, what wins over them, and what the screen then shows."""

import json
from pathlib import Path

import pytest

from mlx_harmony.cli.answer import Answer
from mlx_harmony.cli.main import main
from mlx_harmony.cli.talk import Talk
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from tests.cli.conftest import Recorded
from tests.fixtures.provider import ScriptedProvider
from tests.fixtures.scripted import say

CONFIG = {
    "developer_instructions": "Obey {user}.",
    "assistant_greeting": "Hello {user}.",
    "placeholders": {"user": "Sam", "assistant": "Ada"},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path))
    (tmp_path / "c.json").write_text(json.dumps(CONFIG | {"reasoning_effort": "high", "knowledge_cutoff": "2031-05", "mlock": True}))
    return tmp_path


@pytest.mark.integration
def test_generate_reads_a_prompt_config_and_a_flag_wins(home: Path, fx2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "--model", str(fx2), "--raw-prompt", "--prompt-config", str(home / "c.json"), "I am {user}"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert all(text in told.out for text in ("Obey Sam.", "I am Sam", "Reasoning: high", "Knowledge cutoff: 2031-05"))
    assert "$.mlock has no effect" in told.err
    assert main([*words, "--effort", "low", "--system", "Be free."]) == 0
    told = capsys.readouterr()
    assert "Be free." in told.out and "Obey" not in told.out and "Reasoning: low" in told.out


@pytest.mark.integration
def test_a_profile_brings_its_model(home: Path, fx2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "mine.json").write_text(json.dumps({"a": {"model": str(fx2), "prompt_config": "c.json"}}))
    assert main(["generate", "--profiles-file", str(home / "mine.json"), "--profile", "a", "--raw-prompt", "hi"]) == 0
    assert "Obey Sam." in capsys.readouterr().out
    assert main(["generate", "--profiles-file", str(home / "mine.json"), "--profile", "b", "hi"]) == 1
    assert "Known: a." in capsys.readouterr().err


def test_a_wrong_prompt_config_is_an_error_with_its_place(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "c.json").write_text('{"temperature": 3}')
    assert main(["serve", "--no-ui", "--port", "0", "--prompt-config", str(home / "c.json")]) == 1
    assert "$.temperature must be a number from 0 to 2; it is 3." in capsys.readouterr().err


async def test_a_chat_shows_its_greeting_and_calls_the_speakers_by_name(home: Path, pipe: Recorded) -> None:
    service = await Service.open(Settings(home=str(home), prompt_config=str(home / "c.json")), ScriptedProvider())
    try:
        talk = Talk(service, pipe, {"temperature": 0.0})
        await talk.begin()
        assert await talk.take("hi") == 0
        assert pipe.out.getvalue() == "Ada: Hello Sam.\nYou said: hi\n"
        (chat,) = await service.list_chats()
        kept = (await service.read_chat(chat.id)).options
        assert kept.sampling.temperature == 0 and kept.effort == "high"
        again = Talk(service, pipe, {"effort": "low"})
        await again.resume(chat.id)
        assert "Sam: hi" in pipe.out.getvalue() and "as it was set up" in pipe.err.getvalue()
        await again.take("and now")
        after = (await service.read_chat(chat.id)).options
        assert (after.sampling.temperature, after.effort) == (0, "low")
    finally:
        await service.close()


def shown(terminal: Recorded, setup: ChatSetup) -> str:
    answer = Answer(terminal, setup)
    for event in say("x" * 50, thinking="y" * 50, pieces=5):
        answer.show(event)
    return terminal.out.getvalue()


def test_a_screen_shows_as_much_as_the_config_says_and_a_pipe_all(screen: Recorded, pipe: Recorded) -> None:
    setup = ChatSetup(truncate_thinking=7, truncate_response=13, show_timings=True)
    out = shown(screen, setup)
    assert (out.count("x"), out.count("y"), out.count("…")) == (13, 7, 2)
    assert "37 more characters" in screen.err.getvalue() and "8 written, 200.0 a second" in screen.err.getvalue()
    assert shown(pipe, setup).count("x") == 50
