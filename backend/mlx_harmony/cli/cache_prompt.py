"""`mlx-harmony cache prompt`: a model reads a prompt once and keeps it in a file, from which chats and answers begin.

The prompt is written as `generate` and a new `chat` write theirs, so that one that begins the same finds it. Nothing else is kept.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlx_harmony.cache_records import CacheState, SavedCache
from mlx_harmony.cli.cache_files import named
from mlx_harmony.cli.errors import DONE
from mlx_harmony.cli.flags import chosen_settings
from mlx_harmony.cli.generate import prompt_text
from mlx_harmony.cli.models_table import size
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.events import Event
from mlx_harmony.reading import PromptRead, read_prompt
from mlx_harmony.records import GenerationRequest, ModelEntry
from mlx_harmony.shelf.bundle import refuse_to_overwrite

if TYPE_CHECKING:
    from mlx_harmony.worker.inprocess import InProcessEngine


class OwnReader:
    """A model in this very process, as one that reads a prompt into a file."""

    def __init__(self, engine: "InProcessEngine") -> None:
        self._engine = engine

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        return self._engine.generate(request)

    async def cache(self) -> CacheState:
        return await self._engine.cache()

    async def save(self, entry: str, path: Path, *, replace: bool) -> SavedCache:
        return await self._engine.save_cache(entry, str(path), replace=replace)


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
    read = asyncio.run(_read(entry, request, path, args.force))
    if args.json:
        terminal.line(json.dumps(_document(read), indent=2))
        return DONE
    terminal.line(f"Saved {read.saved.tokens:,} tokens ({size(read.saved.bytes)}): {read.saved.path}")
    terminal.line(f"Read {read.read_tokens:,} tokens in {read.seconds:.1f} s, {read.tokens_per_second:,.0f} tok/s")
    if read.peak_bytes:
        terminal.line(f"Peak memory: {size(read.peak_bytes)}")
    return DONE


def _asked(args: argparse.Namespace, text: str) -> tuple[ModelEntry, GenerationRequest]:
    """The model, and the prompt as `generate` would write it. Raises InvalidRequest for an empty one, ModelNotFound."""
    from mlx_harmony.conversation.beginning import options_of
    from mlx_harmony.conversation.single import single_request
    from mlx_harmony.models.catalog import Catalog, Places
    from mlx_harmony.prompting.choosing import given_by, settled

    if not text.strip():
        raise InvalidRequest("The prompt is empty.", hint="Give one with --prompt, or as `-` on stdin.", param="prompt")
    settings = chosen_settings(args)
    given = given_by(settings)
    settings = settled(settings, given)
    request = single_request(text, options_of(given.chosen(settings, {"instructions": args.system})))
    return Catalog(Places.of(settings)).find_chosen(args.model or settings.model), request


async def _read(entry: ModelEntry, request: GenerationRequest, path: Path, force: bool) -> PromptRead:
    """Have the prompt read in this process, and its entry saved."""
    from mlx_harmony.worker.inprocess import start_in_process

    engine = await start_in_process(entry, lambda _stage, _fraction: None)
    try:
        async with aclosing(read_prompt(OwnReader(engine), request, path, replace=force)) as steps:
            async for step in steps:
                if isinstance(step, PromptRead):
                    return step
    finally:
        await engine.close()
    raise AssertionError("reading ends in what came of it, or raises")


def _document(read: PromptRead) -> dict[str, Any]:
    saved: dict[str, Any] = msgspec.to_builtins(read.saved)
    return saved | {
        "prompt_tokens": read.prompt_tokens,
        "seconds": read.seconds,
        "tokens_per_second": read.tokens_per_second,
        "peak_memory_bytes": read.peak_bytes or None,
    }
