"""Loads a checked model folder into mlx: architecture, weights layer by layer with progress, tokenizer, prompt format, card.

It knows no sockets. Weights are read in pieces: whoever has answers to go on with does so between two of them.
"""

import importlib.util
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
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
from mlx_harmony.worker.warming import chunk_lengths, timed, warming_up

Progress = Callable[[str, float], None]

MIN_CONTEXT = 16
PIECE_BYTES = 64 * 1024**2
"""So much is evaluated at once, within a layer; a single array is never cut."""
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
    layers_s: Mapping[int, float] = MappingProxyType({})

    def new_pace(self) -> pace.Pace:
        """How its prompts are read, to begin with."""
        return pace.Pace(least=self.least_chunk, layers_s=self.layers_s)


class Checked(NamedTuple):
    """A folder that may be opened, and what goes with its weights."""

    folder: CheckedFolder
    room: Room
    tokenizer: Any
    format: PromptFormat
    adapter: Adapter | None = None


class Stage(NamedTuple):
    """How far a load is; the fraction never falls."""

    name: str
    fraction: float


Opening = Generator[Stage, None, LoadedModel]


def load(options: LoadOptions, device: Device, progress: Progress, free: Free = free_bytes) -> LoadedModel:
    """Load a model folder. Raises LoadFailed and its siblings; stages report a fraction that never falls.

    `progress` may raise to stop it half way. `free` tells how much memory may be taken.
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
    checked = Checked(folder, room, tokenizer, choose_format(Path(folder.path), tokenizer), adapter)
    opening = open_model(checked, options, device)
    while True:
        try:
            progress(*next(opening))
        except StopIteration as end:
            loaded: LoadedModel = end.value
            return loaded


def open_model(checked: Checked, options: LoadOptions, device: Device) -> Opening:
    """Read the weights of a checked folder, piece by piece; LoadedModel in the end. Raises LoadFailed and its siblings."""
    folder, room, adapter = checked.folder, checked.room, checked.adapter
    yield Stage("Reading weights", 0.1)
    model, parameters, fitted = yield from _open_weights(checked, device)
    (context, shorter), least = room.context(_context(folder, options)), max(pace.SMALLEST, fitted.least_chunk)
    rows = vocabulary_size(model, checked.tokenizer)
    took = yield from _warm_up(model, chunk_lengths(device.kind, least, context), rows)
    card = ModelCard(
        format=checked.format.name,
        architecture=folder.config["model_type"],
        context_length=context,
        vocabulary_size=rows,
        weight_bytes=sum(leaf.nbytes for _, leaf in tree_flatten(model.parameters())),
        parameters=parameters,
        device=device.kind,
        fingerprint=f"{folder.fingerprint}-{adapter.digest[:16]}" if adapter else folder.fingerprint,
        notes=(*fitted.notes, *shorter),
        peak_bytes=peak_bytes(device.kind),
        numerics=numerics(model, device.kind),
    )
    yield Stage("Ready", 1.0)
    return LoadedModel(model, checked.tokenizer, checked.format, card, folder.repetition_penalty, least, took)


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


def _open_weights(checked: Checked, device: Device) -> Generator[Stage, None, tuple[nn.Module, int, Fitted]]:
    """Read lazily, fit to the device, then evaluate a part of a layer at a time so that progress and cancelling are real."""
    try:
        model, _ = load_model(Path(checked.folder.path), lazy=True)
        if checked.adapter is not None:
            apply_adapter(model, checked.adapter)
        parameters = int(get_total_parameters(model))
        fitted = fit(model, device, parameters, checked.room.for_plain(parameters))
        yield Stage("Reading weights", 0.1)
        parts = [part for arrays in _by_layer(model) for part in _parts(arrays)]
        for done, part in enumerate(parts, 1):
            mx.eval(part)
            yield Stage("Reading weights", 0.1 + (0.88 if device.kind == "cpu" else 0.7) * done / len(parts))
    except HarmonyError:
        raise
    except MemoryError as error:
        raise OutOfMemory("The model does not fit this machine's memory.", hint=SMALLER) from error
    except _BROKEN as error:
        raise weights_error(error) from error
    mx.clear_cache()
    return model, parameters, fitted


def _warm_up(model: nn.Module, lengths: tuple[int, ...], vocabulary: int) -> Generator[Stage, None, Mapping[int, float]]:
    """Compile the kernels; the seconds that a layer of a chunk of each length then takes."""
    if not lengths:
        return {}
    try:
        for done, of in warming_up(model, lengths, vocabulary):
            yield Stage(f"Warming up, {done + 1} of {of}", 0.8 + 0.19 * done / of)
        return timed(model, lengths, vocabulary)
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


def _by_layer(model: nn.Module) -> Iterator[list[mx.array]]:
    """All arrays of a model: layer by layer, wherever the architecture keeps them, then those outside of all layers."""
    layers = getattr(model, "layers", None) or getattr(getattr(model, "model", None), "layers", None) or ()
    inside = set()
    for layer in layers:
        arrays = [leaf for _, leaf in tree_flatten(layer.parameters())]
        inside |= {id(leaf) for leaf in arrays}
        yield arrays
    yield [leaf for _, leaf in tree_flatten(model.parameters()) if id(leaf) not in inside]


def _parts(arrays: list[mx.array]) -> Iterator[list[mx.array]]:
    """The same arrays in parts of about PIECE_BYTES."""
    part: list[mx.array] = []
    for array in arrays:
        if part and sum(each.nbytes for each in (*part, array)) > PIECE_BYTES:
            yield part
            part = []
        part.append(array)
    if part:
        yield part


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
