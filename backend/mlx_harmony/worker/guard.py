"""Runs one step of the worker and turns whatever it raises into the event that a person reads. Knows no requests and no mlx."""

import logging
from collections.abc import Callable

from mlx_harmony.errors import GenerationFailed, HarmonyError, LoadFailed, OutOfMemory
from mlx_harmony.events import Failed

log = logging.getLogger(__name__)


def guarded(step: Callable[[], None], unexpected: type[GenerationFailed | LoadFailed]) -> Failed | None:
    """Run one step of the worker; whatever it raises becomes the event that a person reads, and the worker lives on.

    The one broad except of the worker: a model's code, template and tokenizer can raise anything, also the Rust tokenizer's
    PanicException, which is no Exception.
    """
    try:
        step()
    except HarmonyError as error:
        return Failed.of(error)
    except MemoryError:
        return Failed.of(OutOfMemory("There is not enough memory for this.", hint="Shorten the chat, or choose a smaller model."))
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        log.exception("a step of the worker raised")
        return Failed.of(_unexpected(error, unexpected))
    return None


def _unexpected(error: BaseException, kind: type[GenerationFailed | LoadFailed]) -> HarmonyError:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    if isinstance(error, RuntimeError) and "allocate" in line:
        return OutOfMemory(f"There is not enough memory for this: {line}", hint="Shorten the chat, or choose a smaller model.")
    if kind is LoadFailed:
        return LoadFailed(f"The model cannot be loaded: {line}", hint="Download the model again, or choose another.")
    return GenerationFailed(f"The model failed while it answered: {line}", hint="Send the message again; the log has the details.")
