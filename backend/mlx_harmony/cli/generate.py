"""`mlx-harmony generate`: one prompt, one answer. The model lives in this very process and ends with it; nothing is kept."""

import argparse
import asyncio
import json
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlx_harmony.cli.answer import Answer
from mlx_harmony.cli.begun import Beginning
from mlx_harmony.cli.errors import DONE, WRONG_USAGE, report
from mlx_harmony.cli.flags import add_cache_file_flag, add_draft_flag, add_model_flags, add_prompting_flags, chosen_settings
from mlx_harmony.cli.picking import add_pick_flag, picked
from mlx_harmony.cli.sampling import add_sampling_flags, choices_from
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.events import Event, Failed, Finished, Routed, TextDelta, ToolCallDelta
from mlx_harmony.records import GenerationRequest, ModelEntry

if TYPE_CHECKING:
    from mlx_harmony.cli.here import Here


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", nargs="?", help="what to answer; without it, or as `-`, it is read from stdin")
    add_model_flags(parser)
    add_pick_flag(parser)
    add_draft_flag(parser)
    add_prompting_flags(parser)
    parser.add_argument("--system", metavar="TEXT", help="instructions that stand above the prompt")
    parser.add_argument("--request", metavar="FILE", help="a chat completion request as JSON instead of a prompt; `-` reads it from stdin")
    parser.add_argument("--json", action="store_true", help="print one JSON document: text, reasoning, usage, timings")
    parser.add_argument("--raw-prompt", action="store_true", help="print what the model would read, control tokens and all, and end")
    add_cache_file_flag(parser)
    add_sampling_flags(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Answers, or prints the rendered prompt."""
    refuse_beside_request(args)
    text = prompt_text(args.prompt) if args.request is None else ""
    if text is None:
        terminal.warn("There is no prompt. Give one as an argument or on stdin: mlx-harmony generate 'Good morning'")
        return WRONG_USAGE
    from mlx_harmony.cli.here import Here
    from mlx_harmony.conversation.beginning import options_of
    from mlx_harmony.conversation.single import single_request
    from mlx_harmony.prompting.choosing import given_by, settled
    from mlx_harmony.ranges import check_request

    settings = picked(args, chosen_settings(args), terminal)
    given = given_by(settings)
    settings = settled(settings, given)
    for notice in settings.notices:
        terminal.warn(notice)
    options = options_of(given.chosen(settings, choices_from(args)))
    here = Here(settings, Beginning(args.prompt_cache_file, terminal))
    model, request = (None, single_request(text, options)) if args.request is None else written_request(args.request, here)
    entry = here.find(None if args.model else model)
    check_request(request)
    if args.raw_prompt:
        from mlx_harmony.worker.raw_prompt import raw_prompt

        terminal.line(raw_prompt(asyncio.run(here.first(entry, request)).path, request.prompt))
        return DONE
    answer = Document(entry.id, terminal) if args.json else Answer(terminal, options.setup)
    return asyncio.run(_answer(here, entry, request, answer))


def prompt_text(given: str | None) -> str | None:
    """The prompt from the command line or stdin; None where a person gave none."""
    if given is not None and given != "-":
        return given
    return None if given is None and sys.stdin.isatty() else sys.stdin.read()


def refuse_beside_request(args: argparse.Namespace) -> None:
    """A written request is whole. Raises InvalidRequest for a prompt or a setting that would be passed over beside it."""
    if args.request is None:
        return
    names = ", ".join(name for name, value in {"prompt": args.prompt, **choices_from(args)}.items() if value is not None)
    if names:
        hint = f"Leave out {names}, or write it into the request."
        raise InvalidRequest(f"--request brings its own {names}.", hint=hint, param="request")


def written_request(file: str, here: "Here") -> tuple[str | None, GenerationRequest]:
    """The model and the request of a chat completion body; a profile it names is filled in. Raises InvalidRequest for what is none."""
    from mlx_harmony.api.chat_request import generation_request, read_body, said_by
    from mlx_harmony.conversation.profiled import with_profile

    try:
        body = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text("utf-8"))
    except OSError as error:
        raise InvalidRequest(f"The request {file} could not be read: {error.strerror}.", param="request") from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The request is no JSON: {error}.", param="request") from error
    if not isinstance(body, dict):
        raise InvalidRequest("The request must be a JSON object.", hint='For example: {"messages": [...]}', param="request")
    checked = read_body(body)
    request = generation_request(checked)
    profile = here.profile(checked.model)
    return (checked.model, request) if profile is None else (profile.model, with_profile(request, profile, said_by(checked)))


class Document:
    """One answer as a JSON document, printed once it is complete."""

    def __init__(self, model: str, terminal: Terminal) -> None:
        self._terminal = terminal
        self._model = model
        self._text = ""
        self._reasoning = ""
        self._calls: dict[str, dict[str, str]] = {}
        self.code = DONE

    def show(self, event: Event) -> None:
        """Takes one event; the last one prints the document, or the error on stderr."""
        match event:
            case TextDelta(channel="analysis", text=text):
                self._reasoning += text
            case TextDelta(text=text):
                self._text += text
            case ToolCallDelta(call_id=call_id, name=name, arguments=arguments):
                call = self._calls.setdefault(call_id, {"id": call_id, "name": "", "arguments": ""})
                call["name"] += name
                call["arguments"] += arguments
            case Routed(model=model):
                self._model = model
            case Finished():
                self._terminal.line(json.dumps(self._document(event), ensure_ascii=False, indent=2))
            case Failed():
                self.code = report(event.error(), self._terminal)
            case _:
                pass

    def leave(self) -> None:
        """An answer that was stopped has no document."""

    def _document(self, finished: Finished) -> dict[str, Any]:
        document: dict[str, Any] = {"model": self._model, "text": self._text, "reasoning": self._reasoning}
        if self._calls:
            document["tool_calls"] = list(self._calls.values())
        document |= {"finish_reason": finished.reason, "seed": finished.seed, "repaired": finished.repaired, "note": finished.note}
        if finished.speculation is not None:
            document |= {"speculation": msgspec.to_builtins(finished.speculation)}
        return document | {"usage": msgspec.to_builtins(finished.usage), "timings": msgspec.to_builtins(finished.timings)}


async def _answer(here: "Here", entry: ModelEntry, request: GenerationRequest, answer: Answer | Document) -> int:
    try:
        async with aclosing(here.generate(entry, request, answer.show)) as events:
            async for event in events:
                answer.show(event)
    finally:
        answer.leave()
    return answer.code
