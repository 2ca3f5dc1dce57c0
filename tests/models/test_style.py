"""How models think and call tools: our tables against what mlx-lm makes of the same folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlx_lm.tokenizer_utils import load

from mlx_harmony.models.style import Style, style_of
from tests.fixtures.formats import write_tokenizer

XTML = ("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>")
THINK = ("<think>", "</think>")
CALL = ("<|tool_call_start|>", "<|tool_call_end|>")
CASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("{{ messages }}", ()),
    ("{{ '<think>' }}<tool_call>{{ tool_call.name }}", THINK),
    ("{{ content.split('</think>') }}<tool_call>", THINK),
    ("<longcat_think></longcat_think><longcat_tool_call>", ("<longcat_think>", "</longcat_think>")),
    ("<|think:start|><|think:end|>", ("<|think:start|>", "<|think:end|>")),
    ("<|channel>thought<channel|><|tool_call>call:<tool_call|>", ("<|channel>", "<channel|>")),
    ("<|open|>think<|sep|>", XTML),
    ("<think>", ("<think>",)),
    ("<minimax:tool_call>", ()),
    ("<start_function_call>", ()),
    ("<tool_call>{{ tool_call.name }}<arg_key>", ()),
    ("<|tool_list_start|>", ()),
    ("<|tool_call_start|>", ()),
    ("nothing of tools", CALL),
    ("<tool_call>\\n<function=", ()),
    ("<tool_call>\n<function=", ()),
    ("<|tool_calls_section_begin|>", ()),
    ('<function name="x"><param name="y">', ()),
    ('<function name="x">', ()),
    ("[TOOL_CALLS]", ()),
    ("<atem:function_calls>", ()),
)


def as_mlx_lm_has_it(folder: Path) -> Style:
    tokenizer = load(folder)
    called = (tokenizer.tool_parser.__module__ if tokenizer.tool_parser else "").rsplit(".", 1)[-1]
    return Style(thinking=tokenizer.think_start or "", tools=called)


@pytest.mark.parametrize(("template", "tokens"), CASES)
@pytest.mark.parametrize("beside", [True, False], ids=["file", "config"])
def test_a_template_and_its_tokens_tell_what_mlx_lm_will_read(template: str, tokens: tuple[str, ...], beside: bool, tmp_path: Path) -> None:
    where: dict[str, Any] = {"template": template} if beside else {"chat_template": template}
    folder = write_tokenizer(tmp_path / "model", ("<s>",), plain=tokens, **where)
    assert style_of(folder, "template") == as_mlx_lm_has_it(folder)


def test_a_parser_that_the_model_names_counts_before_its_template(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path / "model", ("<s>",), template="[TOOL_CALLS]", tool_parser_type="json_tools")
    assert style_of(folder, "template").tools == as_mlx_lm_has_it(folder).tools == "json_tools"


def test_of_several_templates_none_tells_of_tools_and_any_of_thinking(tmp_path: Path) -> None:
    several = [{"name": "default", "template": "x"}, {"name": "tool_use", "template": "[TOOL_CALLS]<think></think>"}]
    folder = write_tokenizer(tmp_path / "model", ("<s>",), plain=THINK, chat_template=several)
    assert style_of(folder, "template") == as_mlx_lm_has_it(folder) == Style(thinking="<think>")


def test_tokens_that_the_template_never_writes_are_no_way_to_think(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path / "model", ("<s>",), plain=THINK, template="{{ messages }}")
    assert style_of(folder, "template") == Style()


def test_harmony_has_its_own_ways_and_a_model_without_a_template_none(fx1: Path, fx2: Path) -> None:
    assert style_of(fx2, "harmony") == Style(thinking="harmony", tools="harmony")
    assert style_of(fx1, "raw") == style_of(fx1, "unsupported") == Style()


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"chat_template": 3, "tool_parser_type": []}', b"[" * 100_000, b"\xff"])
def test_files_without_sense_tell_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_bytes(content)
    (tmp_path / "tokenizer.json").write_bytes(content)
    assert style_of(tmp_path, "template") == Style()
    assert style_of(tmp_path / "gone", "template") == Style()


def test_a_template_that_is_no_text_is_read_as_far_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff[TOOL_CALLS]")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": {}}))
    assert style_of(tmp_path, "template").tools == "mistral"
