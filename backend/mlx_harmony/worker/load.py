"""Loads a checked model folder into mlx: architecture, weights layer by layer with progress, tokenizer, prompt format, card.

It knows no sockets. `progress` may raise to stop a load half way.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm import tokenizer_utils
from mlx_lm.utils import MODEL_REMAPPING, get_total_parameters, load_config, load_model

from mlx_harmony.errors import HarmonyError, LoadFailed, OutOfMemory, UnsupportedArchitecture
from mlx_harmony.records import LoadOptions, ModelCard
from mlx_harmony.worker import pace
from mlx_harmony.worker.adapter import Adapter, apply_adapter, check_adapter
from mlx_harmony.worker.detect import choose_format
from mlx_harmony.worker.device import Device, Fitted, fit, free_bytes
from mlx_harmony.worker.folder import CheckedFolder, check_folder
from mlx_harmony.worker.footprint import peak_bytes
from mlx_harmony.worker.formats import PromptFormat
from mlx_harmony.worker.numerics import numerics
from mlx_harmony.worker.room import SMALLER, Free, Room
from mlx_harmony.worker.warming import chunk_lengths, warm_up

Progress = Callable[[str, float], None]

MIN_CONTEXT = 16
_BROKEN = (ValueError, TypeError, KeyError, AttributeError, IndexError, RuntimeError, OSError, ArithmeticError, ImportError)


class LoadedModel(NamedTuple):
    """A model ready to generate. Everything in it belongs to the thread that loaded it.

    `repetition_penalty` is what its own files recommend, None where they are silent. `least_chunk` is the shortest piece of a prompt
    that is worth reading at once.
    """

    model: nn.Module
    tokenizer: Any
    format: PromptFormat
    card: ModelCard
    repetition_penalty: float | None = None
    least_chunk: int = pace.SMALLEST


def load(options: LoadOptions, device: Device, progress: Progress, free: Free = free_bytes) -> LoadedModel:
    """Load a model folder. Raises LoadFailed and its siblings; stages report a fraction that never falls.

    `free` tells how much memory may be taken.
    """
    progress("Checking files", 0.0)
    folder = check_folder(options.path)
    check_architecture(folder.config)
    adapter = check_adapter(options.adapter) if options.adapter else None
    room = Room(folder, device, free)
    if not options.force:
        room.check()
    progress("Opening tokenizer", 0.02)
    tokenizer = open_tokenizer(folder)
    prompt_format = choose_format(Path(folder.path), tokenizer)
    progress("Reading weights", 0.1)
    model, parameters, fitted = _open_weights(folder, device, progress, room, adapter)
    (context, shorter), least = room.context(_context(folder, options)), max(pace.SMALLEST, fitted.least_chunk)
    _warm_up(model, chunk_lengths(device.kind, least, context), progress)
    card = ModelCard(
        format=prompt_format.name,
        architecture=folder.config["model_type"],
        context_length=context,
        vocabulary_size=vocabulary_size(model, tokenizer),
        weight_bytes=sum(leaf.nbytes for _, leaf in tree_flatten(model.parameters())),
        parameters=parameters,
        device=device.kind,
        fingerprint=f"{folder.fingerprint}-{adapter.digest[:16]}" if adapter else folder.fingerprint,
        notes=(*fitted.notes, *shorter),
        peak_bytes=peak_bytes(device.kind),
        numerics=numerics(model, device.kind),
    )
    progress("Ready", 1.0)
    return LoadedModel(model, tokenizer, prompt_format, card, folder.repetition_penalty, least)


def check_architecture(config: dict[str, Any]) -> None:
    """Refuse a model_type that mlx-lm has no code for."""
    model_type = config["model_type"]
    module = MODEL_REMAPPING.get(model_type, model_type)
    spec = importlib.util.find_spec(f"mlx_lm.models.{module}") if "." not in module else None
    if spec is None or not hasattr(importlib.import_module(spec.name), "ModelArgs"):
        raise UnsupportedArchitecture(
            f"mlx-lm has no architecture named {model_type!r}.", hint="Choose another model; updating mlx-lm may also help."
        )


def open_tokenizer(folder: CheckedFolder) -> Any:
    """The folder's tokenizer as mlx-lm wraps it; never from the network, never with code of its own."""
    path = Path(folder.path)
    try:
        stops = load_config(path).get("eos_token_id")
        # How long a prompt may be is told by the model, not by its tokenizer, which would warn on stderr in words of its own.
        how = {"trust_remote_code": False, "local_files_only": True, "model_max_length": sys.maxsize}
        return tokenizer_utils.load(path, how, eos_token_ids=stops)
    except _BROKEN as error:
        raise LoadFailed(f"The tokenizer cannot be opened: {_first_line(error)}", hint="Download the model again.") from error


def _open_weights(
    folder: CheckedFolder, device: Device, progress: Progress, room: Room, adapter: Adapter | None
) -> tuple[nn.Module, int, Fitted]:
    """Read lazily, fit to the device, then evaluate a layer at a time so that progress and cancelling are real."""
    try:
        model, _ = load_model(Path(folder.path), lazy=True)
        if adapter is not None:
            apply_adapter(model, adapter)
        parameters = int(get_total_parameters(model))
        fitted = fit(model, device, parameters, room.for_plain(parameters))
        pieces = list(_pieces(model))
        for done, piece in enumerate(pieces, 1):
            mx.eval(piece.parameters())
            progress("Reading weights", 0.1 + (0.88 if device.kind == "cpu" else 0.7) * done / len(pieces))
        mx.eval(model.parameters())
    except HarmonyError:
        raise
    except MemoryError as error:
        raise OutOfMemory("The model does not fit this machine's memory.", hint=SMALLER) from error
    except _BROKEN as error:
        raise weights_error(error) from error
    mx.clear_cache()
    return model, parameters, fitted


def _warm_up(model: nn.Module, lengths: tuple[int, ...], progress: Progress) -> None:
    if not lengths:
        return
    try:
        warm_up(model, lengths, lambda done, of: progress(f"Warming up, {done + 1} of {of}", 0.8 + 0.19 * done / of))
    except HarmonyError:
        raise
    except _BROKEN as error:
        raise weights_error(error) from error


def weights_error(error: Exception) -> HarmonyError:
    """What a person is told of an exception that mlx or mlx-lm raised while it read the weights."""
    line = _first_line(error)
    if "allocate" in line.lower() or "memory" in line.lower():
        return OutOfMemory(f"The model does not fit this machine's memory: {line}", hint=SMALLER)
    if isinstance(error, ValueError) and "not supported" in line:
        return UnsupportedArchitecture(line, hint="Choose another model; updating mlx-lm may also help.")
    return LoadFailed(f"The weights do not fit the model's config: {line}", hint="Download the model again.")


def _pieces(model: nn.Module) -> Iterator[nn.Module]:
    """The layers, wherever the architecture keeps them, or the whole where it has none."""
    layers = getattr(model, "layers", None) or getattr(getattr(model, "model", None), "layers", None)
    yield from layers or [model]


def _context(folder: CheckedFolder, options: LoadOptions) -> int:
    if options.max_context_tokens is None:
        return folder.context_length
    return max(MIN_CONTEXT, min(folder.context_length, options.max_context_tokens))


def vocabulary_size(model: nn.Module, tokenizer: Any) -> int:
    """How many ids the model has rows for; ids at or above it would crash mlx."""
    args = getattr(model, "args", None)
    for holder in (args, getattr(args, "text_config", None)):
        value = holder.get("vocab_size") if isinstance(holder, dict) else getattr(holder, "vocab_size", None)
        if isinstance(value, int) and value > 0:
            return value
    return len(tokenizer)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
