"""`mlx-harmony cache prompt`: a model reads a prompt once and keeps it in a file, from which chats and answers begin.

The prompt is written as `generate` and a new `chat` write theirs, so that one that begins the same finds it. Nothing else is kept.
"""

import argparse
import asyncio
import json
import os
from contextlib import aclosing
from typing import Any, NamedTuple

import msgspec

from mlx_harmony.cache_records import CacheState, SavedCache
from mlx_harmony.cli.cache_files import named
from mlx_harmony.cli.errors import DONE
from mlx_harmony.cli.flags import chosen_settings
from mlx_harmony.cli.generate import prompt_text, request_from
from mlx_harmony.cli.models_table import size
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.events import Failed, Finished
from mlx_harmony.records import GenerationRequest, Message, ModelEntry, Sampling
from mlx_harmony.shelf.bundle import refuse_to_overwrite

OWNER = "prompt"
OTHER = "\n\n?"
"""What a longer prompt might go on with: reading it shows where it parts from the shorter one."""


class Read(NamedTuple):
    """What came of it: the file, and what reading took."""

    saved: SavedCache
    finished: Finished
    peak_bytes: int | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("prompt", "for `cache prompt`: read a prompt once and keep it in a file")
    group.add_argument("--prompt", metavar="TEXT", help="the prompt; `-` reads it from stdin")
    group.add_argument("--system", metavar="TEXT", help="instructions that stand above it")
    group.add_argument("--prompt-cache-file", metavar="FILE", help="the file it goes into, for --prompt-cache-file of chat and generate")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Reads, saves and says what it took. Raises InvalidRequest where a flag is missing or the file is there already."""
    for flag, given in (("--prompt", args.prompt), ("--prompt-cache-file", args.prompt_cache_file)):
        if not given:
            raise InvalidRequest(f"{flag} is missing.", hint="mlx-harmony cache prompt --prompt TEXT --prompt-cache-file FILE", param=flag)
    path = named(args.prompt_cache_file)
    refuse_to_overwrite(path, args.force)
    entry, request = _asked(args, prompt_text(args.prompt) or "")
    read = asyncio.run(_read(entry, request, str(path), args.force))
    if args.json:
        terminal.line(json.dumps(_document(read), indent=2))
        return DONE
    timings = read.finished.timings
    terminal.line(f"Saved {read.saved.tokens:,} tokens ({size(read.saved.bytes)}): {read.saved.path}")
    terminal.line(f"Read {timings.prompt_n:,} tokens in {timings.prompt_ms / 1000:.1f} s, {_rate(read):,.0f} tok/s")
    if read.peak_bytes is not None:
        terminal.line(f"Peak memory: {size(read.peak_bytes)}")
    return DONE


def _asked(args: argparse.Namespace, text: str) -> tuple[ModelEntry, GenerationRequest]:
    """The model, and the prompt as `generate` would write it. Raises InvalidRequest for an empty one, ModelNotFound."""
    from mlx_harmony.conversation.beginning import options_of
    from mlx_harmony.models.catalog import Catalog, Places
    from mlx_harmony.prompting.choosing import given_by, settled

    if not text.strip():
        raise InvalidRequest("The prompt is empty.", hint="Give one with --prompt, or as `-` on stdin.", param="prompt")
    settings = chosen_settings(args)
    given = given_by(settings)
    settings = settled(settings, given)
    request = request_from(text, options_of(given.chosen(settings, {"instructions": args.system})))
    request = msgspec.structs.replace(
        request, sampling=Sampling(temperature=0.0), max_tokens=1, stop=(), chat=OWNER, speculation="off", loop_detection="off"
    )
    return Catalog(Places.of(settings)).find_chosen(args.model or settings.model), request


async def _read(entry: ModelEntry, request: GenerationRequest, path: str, force: bool) -> Read:
    """Have the prompt read in this process, and its entry saved."""
    from mlx_harmony.bench.memory import peak_memory_bytes
    from mlx_harmony.worker.inprocess import InProcessEngine, start_in_process

    async def answered(engine: InProcessEngine, asked: GenerationRequest) -> Finished:
        async with aclosing(engine.generate(asked)) as events:
            async for event in events:
                if isinstance(event, Failed):
                    raise event.error()
                if isinstance(event, Finished):
                    return event
        raise AssertionError("a stream ends in Finished or Failed")

    engine = await start_in_process(entry, lambda _stage, _fraction: None)
    try:
        finished = await answered(engine, request)
        state = await engine.cache()
        if any(kept.snapshots for kept in state.entries):
            # A model that cannot cut its cache goes on from a snapshot only: one is put where longer prompts part from this one.
            await answered(engine, _longer(request))
            state = await engine.cache()
        saved = await engine.save_cache(_entry(state), path, replace=force)
    finally:
        await engine.close()
    return Read(saved, finished, peak_memory_bytes(os.getpid()))


def _longer(request: GenerationRequest) -> GenerationRequest:
    """The same prompt with something more in its last message."""
    prompt: Any = request.prompt
    *before, last = prompt.messages
    longer = Message(role="user", content=last.content + OTHER)
    return msgspec.structs.replace(
        request, id=f"{request.id}-longer", chat="", prompt=msgspec.structs.replace(prompt, messages=(*before, longer))
    )


def _entry(state: CacheState) -> str:
    found = next((kept.id for kept in state.entries if OWNER in kept.chats), None)
    if found is None:
        raise InvalidRequest("The prompt is too short to be worth keeping.", hint="Give a longer one.", param="prompt")
    return found


def _rate(read: Read) -> float:
    timings = read.finished.timings
    return timings.prompt_n / timings.prompt_ms * 1000 if timings.prompt_ms else 0.0


def _document(read: Read) -> dict[str, Any]:
    timings = read.finished.timings
    saved: dict[str, Any] = msgspec.to_builtins(read.saved)
    return saved | {
        "prompt_tokens": read.finished.usage.prompt_tokens,
        "seconds": timings.prompt_ms / 1000,
        "tokens_per_second": _rate(read),
        "peak_memory_bytes": read.peak_bytes,
    }
