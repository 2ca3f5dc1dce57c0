"""The format comes from config.json and the tokenizer, never from the folder's name."""

import json
from pathlib import Path

import pytest
from mlx_lm.tokenizer_utils import load

from mlx_harmony.errors import LoadFailed
from mlx_harmony.worker.detect import choose_format
from tests.fixtures.formats import encoding, write_tokenizer
from tests.fixtures.models import HARMONY_SPECIALS, TEMPLATE


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoding()
    monkeypatch.setenv("MLX_HARMONY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIKTOKEN_ENCODINGS_BASE", "")


def chosen(folder: Path) -> str:
    return choose_format(folder, load(folder)).name


def test_gpt_oss_speaks_harmony_whatever_its_folder_is_called(fx2: Path) -> None:
    prompt_format = choose_format(fx2, load(fx2))

    assert prompt_format.name == "harmony"
    assert len(prompt_format.stop_tokens) == 3
    assert prompt_format.defaults.max_tokens == 1024
    assert prompt_format.defaults.repetition_penalty == 1.05
    assert prompt_format.defaults.repetition_context_size == 256
    assert prompt_format.defaults.stop == ("<|endoftext|>",)


def test_a_llama_in_a_folder_named_gpt_oss_speaks_its_template(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path / "gpt-oss-notes", ("</s>",), template=TEMPLATE, bos_token="", eos_token="</s>")
    prompt_format = choose_format(folder, load(folder))

    assert prompt_format.name == "template"
    assert prompt_format.defaults.max_tokens == 512
    assert prompt_format.defaults.repetition_context_size == 20
    assert prompt_format.stop_tokens == {0}


def test_another_architecture_with_harmonys_tokens_speaks_harmony(tmp_path: Path) -> None:
    assert chosen(write_tokenizer(tmp_path, HARMONY_SPECIALS, template=TEMPLATE)) == "harmony"


def test_a_model_without_a_template_is_raw(tmp_path: Path) -> None:
    assert chosen(write_tokenizer(tmp_path, ("</s>",))) == "raw"


def test_a_gpt_oss_whose_tokenizer_lacks_harmonys_tokens_is_told(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path, ("<|start|>", "<|end|>"))
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt_oss"}), encoding="utf-8")

    with pytest.raises(LoadFailed, match=r"<\|call\|>"):
        choose_format(folder, load(folder))


def test_a_folder_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path, ("</s>",))
    tokenizer = load(folder)
    (folder / "config.json").write_text("{", encoding="utf-8")

    with pytest.raises(LoadFailed, match="not valid JSON"):
        choose_format(folder, tokenizer)
