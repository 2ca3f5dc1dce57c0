"""The two pages that are measured, each in a process of its own: the app over a scripted model, and its twin in plain Gradio.

`python -m benchmarks.page_server app HOME` or `... twin HOME [--messages N]`. Prints its address, then two lines of JSON for every answer.
The question says what is wanted: shape, tokens a second, number of tokens, how many of those come at once in the beginning, and what
letters their numbers follow.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import uvicorn

from benchmarks.page_texts import MESSAGES, long_chat, tokens
from mlx_harmony.cli.server import bind
from mlx_harmony.events import Event, MessageEnded, MessageStarted, Prefill, TextDelta
from mlx_harmony.records import ChatPrompt, GenerationRequest
from tests.fixtures.provider import ScriptedProvider
from tests.fixtures.scripted import ScriptedEngine, finished

SETTLE_S = 6.0
"""How long the page has for what came at once, before the measuring begins."""


async def paced(question: str) -> AsyncIterator[str]:
    """The tokens at the pace that is asked for, by the clock: what came late does not make the rest late.

    Reports when the first of them after the burst was due, and, once all have come, what they cost.
    """
    shape, rate, count, burst, name = question.split()
    began, cpu = 0.0, 0.0
    for number, token in enumerate(tokens(shape, int(count), name)):
        if number == int(burst):
            await asyncio.sleep(SETTLE_S if number else 0.0)
            began, cpu = time.time(), time.process_time()
            report(began=began)
        if began:
            await asyncio.sleep(max(0.0, began + (number - int(burst)) / float(rate) - time.time()))
        yield token
    report(seconds=time.time() - began, cpu=time.process_time() - cpu)


def report(**figures: float) -> None:
    print(json.dumps(figures), flush=True)


class PacedEngine(ScriptedEngine):
    """Writes its numbered tokens at the pace the question names."""

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        assert isinstance(request.prompt, ChatPrompt)
        yield Prefill(done=1, total=1)
        yield MessageStarted(index=0, channel="final")
        async for token in paced(request.prompt.messages[-1].content):
            yield TextDelta(index=0, channel="final", text=token)
        yield MessageEnded(index=0, stop_token="<|return|>", raw="", tokens=1)  # noqa: S106  a word of the model
        yield finished("stop")


async def serve(app: Any, port_taken: Any) -> None:
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    print(f"http://127.0.0.1:{port_taken.getsockname()[1]}", flush=True)
    await server.serve(sockets=[port_taken])


async def serve_app(home: Path) -> None:
    """The app as it is, gate and page included; only the model is scripted."""
    from mlx_harmony.api.app import create_app
    from mlx_harmony.cli.front import running
    from mlx_harmony.service import Service
    from mlx_harmony.settings import Settings
    from mlx_harmony_ui.app import mount

    with bind("127.0.0.1", 0) as listener:
        provider = ScriptedProvider()
        provider.engine = PacedEngine()
        service = await Service.open(Settings(home=str(home), port=listener.getsockname()[1]), provider)
        app = mount(create_app(service), service)
        async with running(app):
            await serve(app, listener)
        await service.close()


async def serve_twin(messages: int) -> None:
    """The last messages of the same chat and the same tokens in a gr.Chatbot that is given the whole history for every token."""
    import gradio as gr
    from fastapi import FastAPI

    history: list[Any] = [{"role": role, "content": text} for role, text in long_chat()[-messages:]]

    async def answer(question: str, shown: list[Any]) -> AsyncGenerator[list[Any], None]:
        told = [*shown, {"role": "user", "content": question}, {"role": "assistant", "content": ""}]
        async with aclosing(paced(question)) as coming:  # type: ignore[type-var]
            async for token in coming:
                told[-1] = {"role": "assistant", "content": told[-1]["content"] + token}
                yield told

    with gr.Blocks(analytics_enabled=False) as page:
        chat = gr.Chatbot(history, elem_id="chat", height=700)
        box = gr.Textbox(elem_id="box", show_label=False)
        box.submit(answer, [box, chat], chat)
    with bind("127.0.0.1", 0) as listener:
        await serve(gr.mount_gradio_app(FastAPI(), page.queue(), path="/", run_history=False), listener)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", choices=["app", "twin"])
    parser.add_argument("home", type=Path)
    parser.add_argument("--messages", type=int, default=MESSAGES, help="how many of the chat's messages the twin shows")
    given = parser.parse_args()
    asyncio.run(serve_app(given.home) if given.page == "app" else serve_twin(given.messages))


if __name__ == "__main__":
    sys.exit(main())
