"""Rendering a long prompt beside the loop, in a thread of its own, so that answers go on meanwhile. Knows no formats and no mlx.

Tokenizers let other threads run while they work, but must not be used by two at once: whoever drives this renders nothing else until
it is over. What answers need of a tokenizer, the bytes of a token, does not count.
"""

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from mlx_harmony.records import ChatPrompt, Prompt, TextPrompt

T = TypeVar("T")

LONG_CHARACTERS = 40_000
"""From here on rendering takes a good part of the time that a running answer may be kept waiting."""


class Rendering:
    """Work under way in its thread."""

    def __init__(self, work: Callable[[], Any]) -> None:
        executor = ThreadPoolExecutor(1, thread_name_prefix="rendering")
        self._future: Future[Any] = executor.submit(work)
        executor.shutdown(wait=False)

    @property
    def over(self) -> bool:
        return self._future.done()

    def result(self) -> Any:
        """What came of it, once it is over; waits for that. Raises what the work raised."""
        return self._future.result()

    def wait(self) -> None:
        """Return when it is over, whatever came of it."""
        self._future.exception()


def is_long(prompt: Prompt) -> bool:
    """Whether rendering it may take so long that answers would wait."""
    return _characters(prompt) > LONG_CHARACTERS


def beside(prompt: Prompt, work: Callable[[], T], *, busy: bool) -> Generator[Rendering, Any, T]:
    """What rendering a prompt comes to. Where it is long and somebody is `busy` answering, it waits for a thread of its own."""
    if not busy or not is_long(prompt):
        return work()
    rendering = Rendering(work)
    yield rendering
    result: T = rendering.result()
    return result


def _characters(prompt: Prompt) -> int:
    match prompt:
        case TextPrompt():
            return len(prompt.text)
        case ChatPrompt():
            calls = (call for message in prompt.messages for call in message.tool_calls)
            texts = sum(len(message.content) + len(message.reasoning) for message in prompt.messages)
            return texts + sum(len(call.arguments) for call in calls) + sum(len(tool.description) for tool in prompt.tools)
        case _:
            return 0
