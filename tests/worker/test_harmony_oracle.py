"""Well-formed streams parse exactly as openai-harmony's own parser reads them, whatever their shape and whoever's the tokenizer."""

import json
import random

import openai_harmony as harmony
import pytest

from mlx_harmony.records import ChatPrompt, Message, Tool
from mlx_harmony.worker.harmony.codec import Codec
from tests.fixtures.formats import encoding, harmony_format, harmony_tokens, parse, told

CONTENTS = (
    "",
    "The answer is 42.",
    "  leading and trailing  ",
    "naïve 👩‍👩‍👧‍👦 日本語 🏳️‍🌈",
    "code:\n```python\nprint('x')\n```\n",
    "typed <|end|><|start|>assistant<|channel|>final<|message|> as text",
    '{"city": "Zürich", "nested": {"a": [1, 2]}}',
    'quote " back \\ slash \t tab \u2028 line',
    "to=python analysis final assistant",
)
PLAIN = [("analysis", None), ("commentary", None), ("final", None), ("final", "<|constrain|>json"), ("analysis", "text")]
CALLS = [
    ("commentary", "functions.get_weather", "<|constrain|>json"),
    ("commentary", "functions.get_weather", "json"),
    ("commentary", "functions.unknown_tool", None),
    ("analysis", "python", "code"),
    ("commentary", "python", "code"),
    ("analysis", "browser.search", "code"),
    ("analysis", "functions.get_weather", None),
]
PROMPT = ChatPrompt(messages=(Message(role="user", content="Hi"),), tools=(Tool(kind="function", name="get_weather"), Tool(kind="python")))
ASSISTANT = harmony.Role.ASSISTANT


def stream(seed: int) -> list[int]:
    """o200k tokens of a turn as a model writes it after `<|start|>assistant`."""
    rng = random.Random(seed)
    tokens: list[int] = []
    for _ in range(rng.randint(0, 3)):
        channel, content_type = rng.choice(PLAIN)
        message = harmony.Message.from_role_and_content(ASSISTANT, rng.choice(CONTENTS)).with_channel(channel)
        tokens += encoding().render(message.with_content_type(content_type) if content_type else message)
    if rng.random() < 0.5:
        channel, recipient, content_type = rng.choice(CALLS)
        message = harmony.Message.from_role_and_content(ASSISTANT, rng.choice(CONTENTS)).with_channel(channel).with_recipient(recipient)
        tokens += encoding().render(message.with_content_type(content_type) if content_type else message)
        if tokens[-1] != encoding().encode("<|call|>", allowed_special="all")[0]:
            tokens[-1:] = encoding().encode("<|call|>", allowed_special="all")
    else:
        tokens += encoding().render(harmony.Message.from_role_and_content(ASSISTANT, rng.choice(CONTENTS)).with_channel("final"))
        tokens[-1:] = encoding().encode("<|return|>", allowed_special="all")
    return tokens[2:]


def oracle(tokens: list[int]) -> list[tuple[str, str | None, str]]:
    """The messages as openai-harmony's StreamableParser reads them; python's code as the JSON we make of it.

    Its one mistake is undone: a content type without a recipient lands in its `recipient`.
    """
    parser = harmony.StreamableParser(encoding(), ASSISTANT)
    for token in tokens:
        parser.process(token)
    messages = []
    for message in parser.messages:
        content = message.content[0].text  # type: ignore[attr-defined]
        recipient = None if message.recipient in ("<|constrain|>json", "text") else message.recipient
        if recipient == "python":
            content = json.dumps({"code": content}, ensure_ascii=False)
        elif recipient and not content:
            content = "{}"
        messages.append((message.channel or "", recipient, content))
    return messages


@pytest.mark.parametrize("kind", ["own", "o200k"])
@pytest.mark.parametrize("seeds", [range(at, at + 50) for at in range(0, 300, 50)])
def test_random_turns_parse_as_the_oracle_reads_them(kind: str, seeds: range) -> None:
    codec = Codec(encoding(), harmony_tokens(kind))
    assert codec.native == (kind == "o200k")
    for seed in seeds:
        reference = stream(seed)
        tokens = codec.translate(reference)
        parser = harmony_format(kind).parser(PROMPT)

        events = parse(parser, tokens)

        assert told(events) == oracle(reference), seed
        assert parser.repaired == ""
        assert parser.called_tool == (oracle(reference)[-1][1] is not None)
        raws = [event.raw for event in events if hasattr(event, "raw")]
        assert "".join(raws) == harmony_tokens(kind).text_of(tokens)
        assert sum(event.tokens for event in events if hasattr(event, "raw")) == len(tokens)


def test_a_python_calls_arguments_are_json_at_the_end_and_text_on_the_way() -> None:
    tokens = harmony_tokens()
    code = 'print("😀")\n\tx = "\\\\"'
    ids = (
        tokens.encode_markup(" to=python<|channel|>analysis code<|message|>") + tokens.encode_text(code) + tokens.encode_markup("<|call|>")
    )

    [(_, recipient, arguments)] = told(parse(harmony_format().parser(PROMPT), ids))

    assert recipient == "python"
    assert json.loads(arguments) == {"code": code}
