"""The JSON Schema of prompt configs, for editors and checkers: `python -m mlx_harmony.prompting.schema` writes it to stdout."""

import json
import sys
from typing import Any

from mlx_harmony.prompting.config import PromptConfig
from mlx_harmony.prompting.effects import NO_EFFECT
from mlx_harmony.prompting.loading import SCHEMA_KEY


def json_schema() -> dict[str, Any]:
    """The schema of what is read without a notice on an unknown key; fields that do nothing yet say so."""
    schema = PromptConfig.model_json_schema()
    for name, why in NO_EFFECT.items():
        schema["properties"][name]["description"] += f" Without effect in this release: {why}."
    for kind in schema["properties"]["placeholders"]["anyOf"]:
        if kind["type"] == "object":
            # pydantic describes the names that match; JSON Schema lets every other one pass unless told.
            kind["additionalProperties"] = False
    schema["properties"] = {SCHEMA_KEY: {"type": "string"}} | schema["properties"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def schema_text() -> str:
    """The file as it lies in configs/."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
