"""What is asked of every side that is measured: how much, and with which prompts. Pure; knows no engine and no clock."""

from mlx_harmony.records import Record

SPAN = 1024
STEPS = (613, 7919)


class Work(Record):
    """How much is measured. A prompt has `prompt_tokens`, an answer `tokens`; the best of `rounds` counts.

    `streams`: how many answers are written at once; `clients` over HTTP, 0 for none; `turns` of a chat over HTTP, 0 for none.
    """

    prompt_tokens: int = 512
    tokens: int = 128
    rounds: int = 3
    streams: tuple[int, ...] = (1, 2, 4, 8)
    clients: int = 8
    turns: int = 8


def prompt_ids(number: int, length: int, vocabulary: int) -> tuple[int, ...]:
    """A prompt of its own for each number, so that nothing that was read before helps. Keeps off both ends of the vocabulary,
    where control tokens are."""
    low = vocabulary // 8
    span = max(1, min(SPAN, vocabulary - 2 * low))
    return tuple(low + (number * STEPS[1] + at * STEPS[0] + at * at * number) % span for at in range(length))


def question(number: int, words: int) -> str:
    """A message of about so many words, begun differently for each number."""
    return f"Question {number}: " + " ".join(f"{(number * 31 + at * 17) % 1000}" for at in range(max(1, words // 2)))


def repeating() -> str:
    """A message that asks for a text again with one word changed: what guessing ahead from the conversation is good at."""
    lines = "\n".join(f"    total_{at} = total_{at - 1} + price[{at}] * count[{at}]" for at in range(1, 13))
    return f"Write this again with every `price` called `cost`, and nothing else:\n\n{lines}\n"


def chat_messages(turn: int, words: int) -> list[dict[str, str]]:
    """The messages of a chat's turn, from 0: instructions, and all that was said before; the answers are the same for every side."""
    messages = [{"role": "system", "content": "You answer in one short sentence. " * 8}]
    for earlier in range(turn):
        messages += [
            {"role": "user", "content": question(earlier, words)},
            {"role": "assistant", "content": f"Point {earlier} is noted, and what follows from it as well."},
        ]
    return [*messages, {"role": "user", "content": question(turn, words)}]
