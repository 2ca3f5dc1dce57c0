"""The command line as a whole: what it lists, what it imports, what it ends with."""

import os
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from mlx_harmony.cli.main import COMMANDS, command, main
from mlx_harmony.errors import ERRORS

HEAVY = ("mlx", "mlx_lm", "gradio", "fastapi", "uvicorn", "transformers", "openai_harmony", "msgspec")
HELP_LIMIT_S = 0.4


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_is_built(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--model" in shown or "--json" in shown
    assert callable(command(name).run)


@pytest.mark.parametrize("words", [[], ["bake"], ["models", "--bogus"], ["generate", "--temperature", "9", "hi"], ["serve", "--port", "x"]])
def test_wrong_usage_ends_with_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: mlx-harmony" in captured.err


def test_a_value_out_of_range_is_refused_with_the_range(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["generate", "--temperature", "nan", "hi"])
    assert "0 to 2" in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, mlx_harmony.cli.main as m; m.build_parser(None); print([n for n in {HEAVY!r} if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


def test_help_is_quick() -> None:
    """The best of five: other work on the machine must not fail it."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "mlx_harmony", "--help"], capture_output=True, check=True)
        took.append(time.perf_counter() - began)
    assert min(took) < HELP_LIMIT_S


def test_version_is_the_packages_own(capsys: pytest.CaptureFixture[str]) -> None:
    import mlx_harmony

    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"mlx-harmony {mlx_harmony.__version__}\n"


def test_the_old_names_lead_to_the_same_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    aliases = {"chat": "chat", "generate": "generate", "server": "serve", "list": "models", "migrate-chat": "migrate-chat"}
    aliases |= {"cache-prompt": "cache", "manage": "models"}
    scripts = {script.name: script for script in entry_points(group="console_scripts") if script.name.startswith("mlx-harmony-")}
    assert set(scripts) == {f"mlx-harmony-{alias}" for alias in aliases}
    for alias, name in aliases.items():
        monkeypatch.setattr(sys, "argv", [f"mlx-harmony-{alias}", "--help"])
        with pytest.raises(SystemExit) as ended:
            scripts[f"mlx-harmony-{alias}"].load()()
        assert ended.value.code == 0
        assert f"usage: mlx-harmony {name}" in capsys.readouterr().out


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    code = "import sys; from mlx_harmony.cli.main import main; sys.exit(main(['models', '--json']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 1
    assert "Traceback" not in errors and "BrokenPipe" not in errors


@pytest.mark.parametrize("words", [["generate", "-"], ["chat"]])
def test_bytes_that_are_no_text_are_refused_in_words(words: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "MLX_HARMONY_HOME": str(tmp_path), "PYTHONIOENCODING": "utf-8:strict"}
    command = [sys.executable, "-m", "mlx_harmony", *words]
    ended = subprocess.run(command, input=b"\xff\xfe hello\n", capture_output=True, env=environment, timeout=60)
    assert ended.returncode == 2
    assert b"half a character" in ended.stderr and b"Traceback" not in ended.stderr


def test_the_table_of_exit_codes_is_total() -> None:
    from mlx_harmony.cli.errors import EXIT_CODES

    assert EXIT_CODES.keys() == ERRORS.keys()
    assert set(EXIT_CODES.values()) <= {1, 2}
