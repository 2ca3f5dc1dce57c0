"""Chooses the prompt format for a loaded tokenizer: by config.json and the tokenizer, never by the folder's name."""

from pathlib import Path
from typing import Any

from mlx_harmony.errors import LoadFailed
from mlx_harmony.models.kind import format_of
from mlx_harmony.settings import home_folder
from mlx_harmony.worker.formats import PromptFormat
from mlx_harmony.worker.harmony.format import HarmonyFormat, load_encoding
from mlx_harmony.worker.templates.format import RawFormat, TemplateFormat
from mlx_harmony.worker.tokens import Tokens
from mlx_harmony.worker.vocabulary import o200k_folder


def choose_format(folder: Path, tokenizer: Any) -> PromptFormat:
    """The format of the model in `folder`; `tokenizer` is mlx-lm's TokenizerWrapper. Raises LoadFailed."""
    kind, problem = format_of(folder)
    tokens = Tokens(tokenizer)
    match kind:
        case "harmony":
            o200k_folder(home_folder(), folder)
            return HarmonyFormat(load_encoding(), tokens)
        case "unsupported":
            raise LoadFailed(f"The model cannot be used: {problem}.", hint="Download the model again, or choose another.")
        case _:
            return TemplateFormat(tokens) if tokenizer.has_chat_template else RawFormat(tokens)
