"""What people copy works: the files in configs/ and every JSON of the guide are read without a notice, and the guide names every field."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from mlx_harmony.prompting.config import PromptConfig
from mlx_harmony.prompting.loading import load_prompt_config
from mlx_harmony.prompting.placeholders import BUILT_IN
from mlx_harmony.prompting.profiles import Profiles
from mlx_harmony.prompting.schema import json_schema

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
GUIDE = (ROOT / "docs" / "guides" / "prompt-configs.md").read_text("utf-8")
SNIPPETS = re.findall(r"^```json( profiles)?\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
EXAMPLES = sorted(path for path in CONFIGS.glob("*.json") if path.stem not in ("aliases", "profiles", "prompt-config.schema"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_read_without_a_notice(path: Path) -> None:
    assert load_prompt_config(path).notices == ()
    jsonschema.validate(json.loads(path.read_text("utf-8")), json_schema())


def test_the_example_profiles_can_be_used() -> None:
    assert [row.problem for row in Profiles.read(str(CONFIGS)).rows()] == ["", "", ""]


def test_every_json_of_the_guide_is_read_without_a_notice(tmp_path: Path) -> None:
    assert len(SNIPPETS) == 7
    (tmp_path / "brief.json").write_text("{}")
    for number, (profiles, text) in enumerate(SNIPPETS):
        file = tmp_path / ("profiles.json" if profiles else f"{number}.json")
        file.write_text(text)
        if profiles:
            assert [row.problem for row in Profiles.read(str(tmp_path)).rows()] == ["", ""]
        else:
            assert load_prompt_config(file).notices == ()


def test_the_guide_names_every_field_and_every_placeholder() -> None:
    assert [name for name in PromptConfig.model_fields if f"| `{name}` |" not in GUIDE] == []
    assert [name for name in BUILT_IN if f"`<\\|{name}\\|>`" not in GUIDE] == []
