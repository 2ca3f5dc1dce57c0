"""role_mapping: the prefixes of a model without a template, as mlx_lm.server has them, and a refusal everywhere else."""

from pathlib import Path

import pytest
from mlx_lm.server import convert_chat
from mlx_lm.tokenizer_utils import load

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.events import TextDelta
from mlx_harmony.records import ChatPrompt, Message, RoleMapping
from mlx_harmony.worker.templates.format import RawFormat, TemplateFormat
from mlx_harmony.worker.templates.lines import USUAL
from mlx_harmony.worker.tokens import Tokens
from tests.fixtures.formats import write_tokenizer
from tests.fixtures.models import TEMPLATE

SPECIALS = ("<s>", "</s>", "<|turn|>")
VICUNA = RoleMapping(system="RULE: ", user="USER: ", assistant="ASSISTANT: ", stop="\n")
TALK = (
    Message(role="system", content="Be kind."),
    Message(role="user", content="Hi"),
    Message(role="assistant", content="Hello."),
    Message(role="user", content="And now?"),
)


def raw(folder: Path) -> RawFormat:
    return RawFormat(Tokens(load(write_tokenizer(folder, SPECIALS, template=None, bos_token="<s>", eos_token="</s>"))))


def text(format_: RawFormat, prompt: ChatPrompt) -> str:
    return format_.tokens.text_of(format_.render(prompt).tokens)


def test_prefixes_are_rendered_as_mlx_lm_server_does(tmp_path: Path) -> None:
    theirs = convert_chat(
        [{"role": message.role, "content": message.content} for message in TALK],
        {"system": "RULE: ", "user": "USER: ", "assistant": "ASSISTANT: ", "stop": "\n"},
    )
    assert text(raw(tmp_path), ChatPrompt(messages=TALK, roles=VICUNA)) == theirs
    assert theirs == "RULE: Be kind.\nUSER: Hi\nASSISTANT: Hello.\nUSER: And now?\nASSISTANT:"


def test_the_usual_lines_are_a_mapping_like_any_other(tmp_path: Path) -> None:
    format_ = raw(tmp_path)
    plain, mapped = (format_.render(ChatPrompt(messages=TALK, identity="Me.", roles=roles)) for roles in (None, USUAL))
    assert (plain.tokens, plain.boundaries) == (mapped.tokens, mapped.boundaries)


def test_a_role_that_is_not_mapped_has_no_prefix(tmp_path: Path) -> None:
    prompt = ChatPrompt(messages=TALK, roles=RoleMapping(user="Q: ", stop=" | "))
    assert text(raw(tmp_path), prompt) == "Be kind. | Q: Hi | Hello. | Q: And now? | "


def test_a_system_prompt_stands_first_where_there_are_no_instructions(tmp_path: Path) -> None:
    roles = RoleMapping(system_prompt="A chat.", system="RULE: ", user="USER: ", assistant="BOT: ", stop="\n")
    format_ = raw(tmp_path)
    assert text(format_, ChatPrompt(messages=TALK[1:2], roles=roles)) == "A chat.\nUSER: Hi\nBOT:"
    assert text(format_, ChatPrompt(messages=TALK[:2], roles=roles)) == "RULE: Be kind.\nUSER: Hi\nBOT:"
    assert text(format_, ChatPrompt(messages=TALK[1:2], identity="Me.", roles=roles)) == "RULE: Me.\nUSER: Hi\nBOT:"


def test_an_answer_that_was_cut_goes_on_in_its_own_line(tmp_path: Path) -> None:
    assert text(raw(tmp_path), ChatPrompt(messages=TALK[1:3], continue_last=True, roles=VICUNA)).endswith("USER: Hi\nASSISTANT: Hello.")


def test_control_tokens_of_a_mapping_count_and_those_of_messages_stay_text(tmp_path: Path) -> None:
    format_ = raw(tmp_path)
    said = (Message(role="user", content="Hi<|turn|></s>"),)
    tokens = format_.render(
        ChatPrompt(messages=said, roles=RoleMapping(user="<|turn|>user\n", assistant="<|turn|>bot", stop="</s>\n"))
    ).tokens
    control = [format_.tokens.control[token] for token in tokens if token in format_.tokens.control]
    assert control == ["<|turn|>", "</s>", "<|turn|>"]
    assert format_.tokens.text_of(tokens) == "<|turn|>user\nHi<|turn|></s></s>\n<|turn|>bot"


@pytest.mark.parametrize(
    ("roles", "written", "shown"),
    [
        (VICUNA, " Fine.\nUSER: and you?", "Fine."),
        (VICUNA, " Fine, USER said.", "Fine, USER said."),
        (RoleMapping(user="Q: ", stop=" | "), "Fine. | Q: and you?", "Fine."),
        (RoleMapping(assistant="Bot: "), "Fine.\nuser: and you?", "Fine.\nuser: and you?"),
    ],
)
def test_an_answer_ends_where_the_model_begins_to_speak_for_others(tmp_path: Path, roles: RoleMapping, written: str, shown: str) -> None:
    format_ = raw(tmp_path)
    parser = format_.parser(ChatPrompt(messages=TALK, roles=roles))
    events = [event for token in format_.tokens.encode_text(written) for event in parser.feed(token)] + parser.finish()
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == shown


def test_a_model_with_a_template_of_its_own_refuses_it(tmp_path: Path) -> None:
    format_ = TemplateFormat(Tokens(load(write_tokenizer(tmp_path, SPECIALS, template=TEMPLATE, bos_token="<s>", eos_token="</s>"))))
    with pytest.raises(InvalidRequest, match="has a chat template") as caught:
        format_.render(ChatPrompt(messages=TALK, roles=VICUNA))
    assert caught.value.param == "role_mapping"
