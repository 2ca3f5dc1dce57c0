"""The name of the base model behind an id, so that several quantisations and conversions of one base come together. Pure."""

import re

_SUFFIX = re.compile(
    r"[-_.](?:"
    r"\d+(?:\.\d+)?[-_]?bits?|[if]?q\d+(?:_\w+)?|int[48]|"
    r"(?:b?f|fp|float)(?:8|16|32)|mxfp[48]|nvfp[48]|"
    r"mlx|gguf|gptq|awq|dwq|hf|unquantized|quantized|gs\d+|g\d+"
    r")$",
    re.IGNORECASE,
)


def family_of(model_id: str) -> str:
    """`mlx-community/Qwen3-0.6B-4bit` is Qwen3-0.6B; what says how it was made goes, what says which model it is stays."""
    name = model_id.rsplit("/", 1)[-1]
    while (shorter := _SUFFIX.sub("", name)) and shorter != name:
        name = shorter
    return name
