"""What people install: a wheel that is complete, and that starts and answers in an environment that holds nothing else."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fixtures.server import Running

ROOT = Path(__file__).parent.parent
INSTALL_LIMIT_S = 600

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(INSTALL_LIMIT_S + 180)]


def build(source: Path, into: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(into), str(source)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    built = build(ROOT, folder)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a virtual environment with the wheel and nothing else of ours."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    extra = "[cpu]" if sys.platform == "linux" else ""
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}{extra}"]
    done = subprocess.run(install, capture_output=True, text=True, timeout=INSTALL_LIMIT_S)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


@pytest.fixture
def server(environment: Path, tmp_path: Path) -> Iterator[Running]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "COV_", "PYTHON"))}
    env |= {"MLX_HARMONY_HOME": str(tmp_path / "home"), "PATH": f"{environment}{os.pathsep}{env['PATH']}"}
    command = [str(environment / "mlx-harmony"), "serve", "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=tmp_path)
    running = Running(process, tmp_path / "home")
    yield running
    running.stop()


def test_the_wheel_holds_the_page_and_the_starter_but_not_its_recipe(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    product = [*(ROOT / "backend").rglob("*"), *(ROOT / "ui").rglob("*")]
    sources = {
        path.relative_to(ROOT).as_posix().partition("/")[2] for path in product if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources - names == set()
    starter = {f"mlx_harmony/assets/starter/{path.name}" for path in (ROOT / "assets/starter").iterdir() if path.is_file()}
    assert {path.rpartition("/")[2] for path in starter} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert starter - names == set()
    assert [name for name in names if "recipe" in name or name.startswith("tests/")] == []


def test_a_wheel_without_the_starter_is_not_built(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for package in ("backend/mlx_harmony", "ui/mlx_harmony_ui"):
        (tmp_path / package).mkdir(parents=True)
        shutil.copy(ROOT / package / "__init__.py", tmp_path / package)
    built = build(tmp_path, tmp_path / "dist")
    assert built.returncode != 0
    assert "assets/starter has no config.json" in built.stdout + built.stderr


def test_the_installed_program_starts_and_the_starter_answers(server: Running) -> None:
    assert httpx.get(f"{server.address}/health").json() == {"status": "ok"}
    page = httpx.get(server.address)
    assert page.status_code == 200 and "MLX Harmony" in page.text
    body = {"model": "starter", "messages": [{"role": "user", "content": "Hello!"}], "temperature": 0}
    answer = httpx.post(f"{server.address}/v1/chat/completions", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"].strip()
    assert server.stop() == 0


def test_every_command_is_installed(environment: Path) -> None:
    for name in ("", "-chat", "-generate", "-server", "-list"):
        shown = subprocess.run([environment / f"mlx-harmony{name}", "--help"], capture_output=True, text=True, check=True).stdout
        assert shown.startswith("usage: mlx-harmony")
