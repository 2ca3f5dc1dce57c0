"""The project's own machinery: versions agree, the workflow runs what people run, and the checks are as strict as promised."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PYTHONS = ["3.11", "3.12", "3.13"]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    return loaded


def test_the_workflow_tests_every_python_that_the_package_allows(project: dict[str, Any], workflow: dict[str, Any]) -> None:
    assert project["project"]["requires-python"] == ">=3.11,<3.14"
    assert workflow["jobs"]["linux"]["strategy"]["matrix"]["python"] == PYTHONS


def test_the_workflow_has_an_apple_silicon_job(workflow: dict[str, Any]) -> None:
    assert workflow["jobs"]["apple-silicon"]["runs-on"] == "macos-15"


def test_the_workflow_runs_the_same_script_as_people(workflow: dict[str, Any]) -> None:
    for job in workflow["jobs"].values():
        assert ".ci/run" in [step.get("run") for step in job["steps"]]


def test_coverage_is_sent_only_where_a_token_is_set(workflow: dict[str, Any]) -> None:
    (upload,) = [step for step in workflow["jobs"]["linux"]["steps"] if "codecov" in step.get("uses", "")]
    assert "env.CODECOV_TOKEN != ''" in upload["if"]


def test_coverage_is_enforced_and_reaches_the_processes_we_start(project: dict[str, Any]) -> None:
    (floor,) = re.findall(r"--cov-fail-under=(\d+)", (ROOT / "Makefile").read_text("utf-8"))
    assert int(floor) >= 85
    assert "--cov-report=xml" in (ROOT / "Makefile").read_text("utf-8")
    assert "subprocess" in project["tool"]["coverage"]["run"]["patch"]


def test_types_are_strict_and_warnings_are_errors(project: dict[str, Any]) -> None:
    assert project["tool"]["mypy"]["strict"] is True
    assert project["tool"]["pytest"]["ini_options"]["filterwarnings"][0] == "error"


def test_dependencies_are_looked_after() -> None:
    config = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text("utf-8"))
    assert {update["package-ecosystem"] for update in config["updates"]} == {"pip", "github-actions"}


def test_hooks_fetch_nothing() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    assert {hook["id"] for hook in config["repos"][0]["hooks"]} == {"ruff", "ruff-format", "mypy"}


@pytest.mark.parametrize("script", [".ci/run", ".ci/system-packages"])
def test_scripts_stop_at_the_first_failure(script: str) -> None:
    text = (ROOT / script).read_text("utf-8")
    assert "set -eu" in text
    assert (ROOT / script).stat().st_mode & 0o111
    subprocess.run(["sh", "-n", script], cwd=ROOT, check=True)


def test_a_missing_python_is_named_before_anything_is_made(tmp_path: Path) -> None:
    run = subprocess.run(
        ["make", "--no-print-directory", "-C", str(ROOT), "run", "PYTHON=", f"VENV={tmp_path}/venv"], capture_output=True, text=True
    )
    assert run.returncode != 0
    assert "needs Python 3.11, 3.12 or 3.13" in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_target_has_its_line_of_help() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    shown = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True).stdout
    assert [target for target in phony.split() if target != "help" and f"make {target}" not in shown] == []
