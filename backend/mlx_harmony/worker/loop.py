"""The loop: takes requests one after another, runs them, sends their events. One thread, which owns mlx. It knows no transport."""

import logging
from collections.abc import Callable
from contextlib import nullcontext

import mlx.core as mx

from mlx_harmony.errors import GenerationFailed, HarmonyError, LoadFailed, OutOfMemory
from mlx_harmony.events import Counted, Failed
from mlx_harmony.worker.device import available_bytes
from mlx_harmony.worker.generation import Desk, Generation, RenderGuard, count_prompt
from mlx_harmony.worker.inbox import Inbox, Ticket
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.pace import Pace
from mlx_harmony.worker.prompt_cache import DEFAULT_BYTES, PromptCache

log = logging.getLogger(__name__)


class Loop:
    """Answers the inbox's requests until it is closed. A request that fails, fails alone."""

    def __init__(self, loaded: LoadedModel, inbox: Inbox, guard: RenderGuard = nullcontext) -> None:
        self._desk = Desk(loaded, PromptCache(cache_budget()), Pace(), guard)
        self._inbox = inbox

    def run(self) -> None:
        """Blocks while there is nothing to do."""
        while (ticket := self._inbox.take()) is not None:
            failed = guarded(lambda ticket=ticket: self._answer(ticket), GenerationFailed)  # type: ignore[misc]
            if failed is not None:
                self._inbox.emit(ticket.request.id, failed)
            mx.clear_cache()

    def _answer(self, ticket: Ticket) -> None:
        if ticket.counting:
            self._inbox.emit(ticket.request.id, Counted(count=count_prompt(self._desk, ticket.request)))
            return
        generation = Generation(self._desk, ticket.request, self._inbox.cancelled, ticket.asked_at)
        for event in generation.run():
            self._inbox.emit(ticket.request.id, event)


def cache_budget() -> int:
    """Bytes for what was read before: an eighth of the memory that is free once the model is loaded, at most the default."""
    return min(DEFAULT_BYTES, available_bytes() // 8)


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
