"""A text while it grows: always what the whole text would be, with what is settled left alone."""

import pytest

from benchmarks.page_texts import long_answer, tokens
from mlx_harmony_ui.growing import Growing
from mlx_harmony_ui.markup import blocks

TEXTS = [
    "Intro\n\n- a\n- b\n\n\n```python\nx = 1\n\ny = 2\n```\n\n> quote\n\nlast *word*\r\n\r\nend\x0bof\u2028it",
    "1. one\n\n2. two\n\n3. three\n\ntext\n\n* x\n\n* **y**\n\n- z\n",
    "```py\nx = 1\n```\nafter\n\n~~~~\n```\n~~~~\n\n   ```js\n   a\n  b\n   ```\n",
    "a\r\n\r\n```python\r\nx = 1\r\n\r\ny\r\n```\r\n\r\nend",
    "````\n```\ninner\n```\n````\n\n    indented\n\nlast",
    long_answer(1).partition("## Part 1.1")[0],
    "".join(tokens("mixed", 220)),
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("step", [1, 7])
def test_a_growing_text_ends_as_the_whole_text(text: str, step: int) -> None:
    growing = Growing()
    for end in range(0, len(text) + step, step):
        shown = growing.render(text[:end])
    assert shown == blocks(text)


def test_a_growing_text_keeps_finished_blocks() -> None:
    growing = Growing()
    first = growing.render("One.\n\nTwo")
    second = growing.render("One.\n\nTwo and more")
    assert first[0] is second[0]
    assert first[1] != second[1]


def test_numbers_of_a_list_do_not_begin_a_list_of_their_own() -> None:
    growing = Growing()
    for text in ("1. one\n\n2", "1. one\n\n2. two"):
        shown = growing.render(text)
    assert len(shown) == 1


def test_open_code_is_shown_as_code_and_closes() -> None:
    growing = Growing()
    growing.render("So:\n\n```python\n")
    assert growing.render("So:\n\n```python\nx = 1")[1].startswith('<figure class="code" data-key="f">')
    open_code = growing.render("So:\n\n```python\nx = 1\n\n\ny = 2\n")
    assert '<span class="k-n">y</span>' in open_code[1]
    closed = growing.render("So:\n\n```python\nx = 1\n\n\ny = 2\n```\n\nThere.")
    assert closed == blocks("So:\n\n```python\nx = 1\n\n\ny = 2\n```\n\nThere.")


def test_open_code_comes_in_pieces_from_the_first() -> None:
    assert 'data-key="l1"' in Growing().render("```python\n" + "x = 1\n" * 60)[0]


def test_what_looks_like_the_end_of_code_may_turn_out_to_be_code() -> None:
    growing = Growing()
    growing.render("```\na\n")
    growing.render("```\na\n```")
    assert "```x" in growing.render("```\na\n```x\nb")[0]
