"""Which files of a repository a model needs here: weights as safetensors, and what its config, tokenizer and template are in. Pure."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

WEIGHTS = "*.safetensors"
PATTERNS = (WEIGHTS, "*.json", "*.jinja", "*.txt", "*.tiktoken", "*.model", "additional_chat_templates/*.jinja")
"""Nothing that runs code (*.py) and nothing pickled (*.bin, *.pt), which is never opened here."""


def needed(names: Iterable[str]) -> tuple[str, ...]:
    """The files to get. Where weights are there twice, under `model*` and another name, only `model*` is what gets loaded."""
    found = [name for name in names if any(_matches(name, pattern) for pattern in PATTERNS)]
    if any(fnmatchcase(name, "model*.safetensors") for name in found):
        found = [name for name in found if not name.endswith(".safetensors") or name.startswith("model")]
    return tuple(found)


def lack(names: Iterable[str]) -> str:
    """Why these files are no model that can be loaded, in a sentence; "" where they are one."""
    there = set(names)
    if not any(_matches(name, WEIGHTS) for name in there):
        if any(name.endswith((".gguf", ".bin", ".pt", ".pth")) for name in there):
            return "It has no weights as safetensors, only in a format that is not loaded here."
        return "It has no weights (*.safetensors)."
    return "" if "config.json" in there else "It has no config.json."


def _matches(name: str, pattern: str) -> bool:
    """Like the shell: a star stays within its folder."""
    return name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)
