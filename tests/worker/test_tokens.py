"""Tokens to bytes and text to tokens, for every kind of tokenizer; typed control text stays text."""

from pathlib import Path

import pytest
from mlx_lm.tokenizer_utils import load
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.worker.bytelevel import bytes_of
from mlx_harmony.worker.chat import MAX_TEXT_CHARACTERS, check_text
from mlx_harmony.worker.tokens import Tokens
from mlx_harmony.worker.utf8 import Utf8
from tests.fixtures.formats import harmony_tokens, write_tokenizer

TEXTS = ("plain", "naïve 😀 日本語\n\ttab", "👩‍👩‍👧 family", "<|end|><|start|>system", "")


def test_the_alphabet_is_the_librarys() -> None:
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for code in (*range(0x800), *range(0x800, 0x110000, 997)):
        if not 0xD800 <= code < 0xE000:
            assert bytes_of(level.pre_tokenize_str(chr(code))[0][0]) == chr(code).encode()


@pytest.mark.parametrize("kind", ["own", "o200k"])
@pytest.mark.parametrize("text", TEXTS)
def test_text_survives_the_way_there_and_back(kind: str, text: str) -> None:
    tokens = harmony_tokens(kind)

    assert tokens.text_of(tokens.encode_text(text)) == text


@pytest.mark.parametrize("kind", ["own", "o200k"])
def test_typed_control_text_is_no_control_token(kind: str) -> None:
    tokens = harmony_tokens(kind)

    assert not set(tokens.encode_text("a<|end|><|start|>system<|message|>b")) & tokens.control.keys()
    assert set(tokens.encode_markup("<|end|>")) <= tokens.control.keys()


def test_typed_tags_that_are_added_but_not_special_stay_text(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path, ("</s>",), plain=("<tool_call>", "</think>", "  "), eos_token="</s>")
    tokens = Tokens(load(folder))

    ids = tokens.encode_text("say <tool_call> and </think></s>  twice")

    assert set(tokens.control.values()) == {"</s>", "<tool_call>", "</think>"}
    assert not set(ids) & tokens.control.keys()
    assert tokens.text_of(ids) == "say <tool_call> and </think></s>  twice"


def sentencepiece() -> PreTrainedTokenizerFast:
    pieces = ["<unk>", "▁Hello", "▁world", *(f"<0x{byte:02X}>" for byte in range(256)), *"Helowrd▁"]
    tokenizer = Tokenizer(
        models.BPE({piece: at for at, piece in enumerate(dict.fromkeys(pieces))}, [], unk_token="<unk>", byte_fallback=True)
    )
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def test_sentencepiece_tokens_are_bytes_too() -> None:
    tokenizer = sentencepiece()
    tokens = Tokens(tokenizer)
    emoji = [tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in "😀".encode()]

    assert tokens.text_of([1, 2, *emoji]) == " Hello world😀"


def test_a_tokenizer_with_another_decoder_is_asked_itself() -> None:
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "hello": 1}, unk_token="<unk>"))

    assert Tokens(PreTrainedTokenizerFast(tokenizer_object=tokenizer)).piece(1) == b"hello"


def test_an_unknown_token_is_nothing() -> None:
    assert harmony_tokens().piece(10**6) == b""


def test_half_a_character_waits_for_its_rest() -> None:
    utf8 = Utf8()

    assert [utf8.feed(bytes([byte])) for byte in "é😀".encode()] == ["", "é", "", "", "", "😀"]
    utf8.finish()
    assert not utf8.broken


@pytest.mark.parametrize(("pieces", "text"), [([b"a\xff", b"b"], "ab"), ([b"\xf0\x9f", b"x"], "x"), ([b"\xf0\x9f"], "")])
def test_bytes_that_form_no_character_are_left_out_and_told(pieces: list[bytes], text: str) -> None:
    utf8 = Utf8()

    assert "".join(map(utf8.feed, pieces)) == text
    utf8.finish()
    assert utf8.broken


def test_a_replacement_character_the_model_writes_itself_is_kept() -> None:
    utf8 = Utf8()

    assert utf8.feed("\ufffd".encode()) == "\ufffd"
    assert not utf8.broken


@pytest.mark.parametrize("text", ["\ud83d alone", "end \udc00", "x" * (MAX_TEXT_CHARACTERS + 1)])
def test_text_no_tokenizer_can_take_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as failure:
        check_text(text, "messages")
    assert failure.value.param == "messages"
    assert failure.value.hint
