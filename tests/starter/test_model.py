"""The shipped model: its size, its configuration, and a floor under its quality."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval_checks import final_of, well_formed
from render import Dialogue, Message, Settings


def test_at_most_16_mb(starter: Path) -> None:
    assert sum(p.stat().st_size for p in starter.iterdir() if p.is_file()) <= 16_000_000


def test_is_gpt_oss_with_a_sliding_window(starter: Path) -> None:
    config = json.loads((starter / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "gpt_oss"
    assert config["sliding_window"] == 128
    assert set(config["layer_types"]) == {"sliding_attention", "full_attention"}
    assert config["max_position_embeddings"] >= 4096
    assert not {"model_file", "auto_map"} & set(config)


def test_plain_mlx_lm_opens_it(starter: Path) -> None:
    from runtime import preload_blas

    preload_blas()
    import mlx_lm

    _, tokenizer = mlx_lm.load(str(starter))
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], add_generation_prompt=True, tokenize=False)
    assert prompt.endswith("<|start|>user<|message|>hello<|end|><|start|>assistant")


QUESTIONS = {
    "hello": "do for you",
    "who are you?": "Starter",
    "what does temperature do?": "random",
    "how do i stop an answer?": "Esc",
    "what is the range of min p?": "from 0 to 1",
    "count from 1 to 9": "1, 2, 3, 4, 5, 6, 7, 8, 9",
    "spell Zarbik": "Z-a-r-b-i-k",
    "sort these words: pear, fig, apple": "apple, fig, pear",
    "repeat after me: blue Wombat 77": "blue Wombat 77",
    "write a poem about rain": "beyond me",
}


def test_greedy_answers(runner: Any) -> None:
    dialogues = [Dialogue(Settings(), [[Message("user", q)]]) for q in QUESTIONS]
    texts = runner.run(dialogues, [200] * len(dialogues))
    assert all(well_formed(t, Settings()) for t in texts)
    right = [want in final_of(t) for want, t in zip(QUESTIONS.values(), texts, strict=True)]
    assert sum(right) >= 9, list(zip(QUESTIONS, texts, strict=True))


def test_calls_python_and_reads_the_result(runner: Any) -> None:
    s = Settings(python=True)
    asked = Message("user", "what is 417 * 36?")
    [text] = runner.run([Dialogue(s, [[asked]])], [200])
    assert text.endswith(" to=python<|channel|>analysis code<|message|>print(417 * 36)<|call|>")
    call = Message("assistant", "print(417 * 36)", "analysis", "python", "code")
    [text] = runner.run([Dialogue(s, [[asked, call, Message("python", "15012\n", "analysis")]])], [200])
    assert "15012" in final_of(text)


def test_remembers_a_name(runner: Any) -> None:
    told = [Message("user", "my name is Trovelka"), Message("assistant", "Nice to meet you, Trovelka!", "final")]
    between = [Message("user", "what does top k do?"), Message("assistant", "Top k keeps only the k likeliest tokens.", "final")]
    [text] = runner.run([Dialogue(Settings(), [told, between, [Message("user", "what is my name?")]])], [200])
    assert "Trovelka" in final_of(text)
