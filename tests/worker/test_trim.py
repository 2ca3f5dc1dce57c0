"""A chat longer than the context: whole turns go, what must stay stays, and it costs no tokenising. Checked against brute force."""

import random

import msgspec
import pytest

from mlx_harmony.errors import ContextTooLong
from mlx_harmony.events import Event, Finished, Trimmed
from mlx_harmony.records import ChatPrompt, GenerationRequest, Message, Prompt, Sampling, TextPrompt, ToolCall
from mlx_harmony.worker.formats import Rendered
from mlx_harmony.worker.generation import Desk, count_prompt
from mlx_harmony.worker.harmony.format import HarmonyFormat
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.memo import TokenMemo
from mlx_harmony.worker.templates.pieces import Pieces
from mlx_harmony.worker.tokens import Tokens
from mlx_harmony.worker.trim import STEPS, capped, fit_prompt, prompt_limit, turns_of, without
from tests.fixtures.formats import encoding, harmony_format, harmony_tokens
from tests.worker.test_generation import desk, run

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "says", "hello"]


def say(chance: random.Random, most: int = 30) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(1, most)))


def conversation(turns: int, seed: int = 1) -> ChatPrompt:
    """Instructions, then turns of which some call a tool, then a question."""
    chance = random.Random(seed)
    messages = [Message(role="developer", content="Be brief.")]
    for number in range(turns):
        messages.append(Message(role="user", content=say(chance)))
        if chance.random() < 0.3:
            call = ToolCall(id=f"c{number}", name="look", arguments="{}")
            messages.append(Message(role="assistant", reasoning=say(chance), tool_calls=(call,)))
            messages.append(Message(role="tool", content=say(chance), tool_call_id=call.id, name="look"))
        messages.append(Message(role="assistant", content=say(chance), reasoning=say(chance)))
    messages.append(Message(role="user", content="And now?"))
    return ChatPrompt(messages=tuple(messages), start_date="2026-01-01")


def by_brute_force(prompt: ChatPrompt, limit: int) -> tuple[int, ...]:
    """Drop one turn after another, rendering each time, until enough is gone."""
    total = len(harmony_format().render(prompt).tokens)
    step = limit // STEPS
    gone: tuple[int, ...] = ()
    for turn in turns_of(prompt)[:-1]:
        saved = total - len(harmony_format().render(without(prompt, gone)).tokens)
        if total <= limit or saved >= -(-(total - limit) // step) * step:
            break
        gone = (*gone, *turn)
    return gone


@pytest.mark.parametrize("limit", [60, 150, 400, 1000, 5000])
@pytest.mark.parametrize("seed", range(4))
def test_what_goes_is_what_brute_force_drops(seed: int, limit: int) -> None:
    prompt = conversation(12, seed)
    fitted = fit_prompt(harmony_format().render, prompt, limit)
    assert fitted.dropped == by_brute_force(prompt, limit)
    assert fitted.rendered.tokens == harmony_format().render(fitted.prompt).tokens
    assert isinstance(fitted.prompt, ChatPrompt)
    assert fitted.prompt.messages[0].role == "developer" and fitted.prompt.messages[-1] == prompt.messages[-1]
    assert fitted.prompt.messages[1].role == "user"


@pytest.mark.parametrize("kind", ["own", "o200k"])
def test_the_parts_add_up_to_the_prompt(kind: str) -> None:
    prompt = conversation(6)
    whole = harmony_format(kind).render(prompt)
    assert len(whole.parts) == len(prompt.messages) and whole.parts[0] > 0
    for gone in turns_of(prompt)[:-1]:
        shorter = len(harmony_format(kind).render(without(prompt, tuple(gone))).tokens)
        assert len(whole.tokens) - shorter == sum(whole.parts[at] for at in gone)


def test_an_answer_to_be_continued_counts_as_the_last_message() -> None:
    prompt = ChatPrompt(
        messages=(Message(role="user", content="one"), Message(role="assistant", content="Half an", reasoning="hm")), continue_last=True
    )
    whole = harmony_format().render(prompt)
    without_last = harmony_format().render(ChatPrompt(messages=prompt.messages[:1]))
    assert len(whole.tokens) - len(without_last.tokens) == whole.parts[1] > 0


def test_trimming_a_thousand_messages_tokenises_nothing_again() -> None:
    prompt = conversation(400)
    assert len(prompt.messages) > 1000
    total = len(harmony_format().render(prompt).tokens)
    fitted = fit_prompt(harmony_format().render, prompt, total // 3)
    assert fitted.whole.tokenised == fitted.rendered.tokenised == 0
    turns = turns_of(prompt)
    dropped = next(count for count in range(len(turns)) if fitted.dropped == tuple(at for turn in turns[:count] for at in turn))
    step = (total // 3) // STEPS
    wanted = -(-(total - total // 3) // step) * step
    for count, enough in ((dropped, True), (dropped - 1, False)):
        shorter = without(prompt, tuple(at for turn in turns[:count] for at in turn))
        assert (total - len(harmony_format().render(shorter).tokens) >= wanted) is enough


def test_only_what_is_new_or_changed_is_tokenised() -> None:
    prompt = conversation(250, seed=9)
    first = harmony_format().render(prompt)
    assert harmony_format().render(prompt).tokens == first.tokens and harmony_format().render(prompt).tokenised == 0
    longer = msgspec.structs.replace(
        prompt, messages=(*prompt.messages, Message(role="assistant", content="Ok!"), Message(role="user", content="New?"))
    )
    assert harmony_format().render(longer).tokenised == 2
    edited = msgspec.structs.replace(
        prompt, messages=(*prompt.messages[:40], Message(role="user", content="changed"), *prompt.messages[41:])
    )
    again = harmony_format().render(edited)
    assert again.tokenised == 1
    fresh = HarmonyFormat(encoding(), harmony_tokens())
    assert fresh.render(edited).tokens == again.tokens


def test_a_template_s_prompt_is_tokenised_by_its_new_pieces_only(llama: LoadedModel) -> None:
    chance = random.Random(5)
    messages = tuple(Message(role="user" if at % 2 == 0 else "assistant", content=f"{at}: {say(chance)}") for at in range(501))
    prompt = ChatPrompt(messages=messages)
    first = llama.format.render(prompt)
    assert first.tokenised > 400 and llama.format.render(prompt).tokenised == 0
    text = llama.tokenizer.apply_chat_template(
        [{"role": each.role, "content": each.content} for each in messages], tokenize=False, add_generation_prompt=True
    )
    assert first.tokens == llama.tokenizer.encode(text, add_special_tokens=False)
    longer = msgspec.structs.replace(
        prompt, messages=(*messages, Message(role="assistant", content="A new one"), Message(role="user", content="?!"))
    )
    assert llama.format.render(longer).tokenised <= 4
    fitted = fit_prompt(llama.format.render, prompt, len(first.tokens) // 2)
    assert fitted.dropped and fitted.whole.tokenised == fitted.rendered.tokenised == 0


def test_a_tokenizer_that_looks_across_control_tokens_is_given_the_whole_text(llama: LoadedModel) -> None:
    class Across(Tokens):
        def encode_markup(self, text: str, *, special: bool = False) -> list[int]:
            return [*super().encode_markup(text, special=special), len(text)]

    pieces = Pieces(Across(llama.tokenizer))
    assert pieces.encode("<s>one</s>two") == Across(llama.tokenizer).encode_markup("<s>one</s>two")


def test_another_tokenizer_or_role_is_another_entry() -> None:
    text = "a text that no other test uses"
    as_user = ChatPrompt(messages=(Message(role="user", content=text),), start_date="2026-01-01")
    own = harmony_format("own").render(as_user)
    o200k = harmony_format("o200k").render(as_user)
    assert own.tokenised and o200k.tokenised and own.tokens != o200k.tokens
    said = ChatPrompt(
        messages=(Message(role="user", content="?"), Message(role="assistant", content=text), Message(role="user", content="?"))
    )
    assert harmony_format("own").render(said).tokenised >= 2


def test_the_memory_of_rendered_messages_is_bounded() -> None:
    memo = TokenMemo(most_tokens=10)
    for text in "abc":
        memo.tokens(text, lambda: [1, 2, 3, 4])
    assert memo.misses == 3
    memo.tokens("c", lambda: [])
    memo.tokens("a", lambda: [1])
    assert (memo.hits, memo.misses) == (1, 4)


def request(prompt: Prompt, **more: object) -> GenerationRequest:
    return GenerationRequest(id="r", prompt=prompt, sampling=Sampling(temperature=0.0), **({"trim": True, "max_tokens": 4} | more))  # type: ignore[arg-type]


def narrow(loaded: LoadedModel, context: int) -> Desk:
    return desk(loaded._replace(card=msgspec.structs.replace(loaded.card, context_length=context)))


def ended(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished)
    return events[-1]


@pytest.mark.parametrize("name", ["llama", "gpt_oss"])
def test_two_hundred_turns_fit_a_small_context(name: str, request_of: dict[str, LoadedModel]) -> None:
    at = narrow(request_of[name], 256)
    chance = random.Random(3)
    messages: list[Message] = [Message(role="developer", content="Be brief.")]
    for number in range(200):
        messages.append(Message(role="user", content=f"{number} {say(chance, 6)}"))
        prompt = ChatPrompt(messages=tuple(messages), start_date="2026-01-01")
        if number % 10 == 9:
            events = run(at, request(prompt, max_tokens=2))
            assert ended(events).usage.prompt_tokens <= 254
            trimmed = [event for event in events if isinstance(event, Trimmed)]
            gone = {place for event in trimmed for place in event.messages}
            assert 0 not in gone and len(messages) - 1 not in gone
            left = [message.role for place, message in enumerate(messages) if place not in gone]
            assert left[1] == "user"
            assert count_prompt(at, request(prompt, max_tokens=2)).sent == ended(events).usage.prompt_tokens
        messages.append(Message(role="assistant", content=say(chance, 8)))
    assert at.cache.bytes <= 2**28


@pytest.fixture
def request_of(llama: LoadedModel, gpt_oss: LoadedModel) -> dict[str, LoadedModel]:
    return {"llama": llama, "gpt_oss": gpt_oss}


def test_the_beginning_stays_the_same_for_many_turns() -> None:
    prompt = conversation(120)
    firsts = set()
    for questions in range(80, 120):
        messages = prompt.messages[: turns_of(prompt)[questions][0] + 1]
        fitted = fit_prompt(harmony_format().render, msgspec.structs.replace(prompt, messages=messages), 2400)
        assert len(fitted.rendered.tokens) <= 2400
        firsts.add(len(fitted.dropped))
    assert len(firsts) < 40 / 4


def test_a_question_too_long_by_itself_is_refused(gpt_oss: LoadedModel) -> None:
    prompt = ChatPrompt(messages=(Message(role="user", content="one"), Message(role="user", content="word " * 300)))
    with pytest.raises(ContextTooLong):
        run(narrow(gpt_oss, 256), request(prompt))


def test_nothing_goes_unless_it_was_asked_for(gpt_oss: LoadedModel) -> None:
    with pytest.raises(ContextTooLong):
        run(narrow(gpt_oss, 256), request(conversation(12), trim=False))


def test_raw_text_is_never_trimmed() -> None:
    def render(prompt: Prompt) -> Rendered:
        return Rendered([0] * 100)

    assert fit_prompt(render, TextPrompt(text="x"), 10).dropped == ()


def test_room_for_the_answer_is_what_was_asked_but_no_more_than_a_quarter(gpt_oss: LoadedModel) -> None:
    card, defaults = msgspec.structs.replace(gpt_oss.card, context_length=400), gpt_oss.format.defaults
    assert prompt_limit(request(TextPrompt(text="x"), max_tokens=10), defaults, card) == 390
    assert prompt_limit(request(TextPrompt(text="x"), max_tokens=None), defaults, card) == 300


def test_a_count_says_what_each_message_takes_and_what_would_go(gpt_oss: LoadedModel, llama: LoadedModel) -> None:
    prompt = conversation(12)
    count = count_prompt(narrow(gpt_oss, 400), request(prompt))
    assert count.total == len(gpt_oss.format.render(prompt).tokens) and len(count.messages) == len(prompt.messages)
    assert count.sent <= count.limit < count.total and count.dropped and count.context_length == 400
    assert count_prompt(narrow(llama, 8000), request(ChatPrompt(messages=(Message(role="user", content="Hi"),)))).messages == ()


def test_a_request_may_cap_the_context_below_the_models_own(gpt_oss: LoadedModel) -> None:
    shop = desk(gpt_oss)
    card, prompt = shop.loaded.card, conversation(12)
    plain = GenerationRequest(id="1", prompt=prompt, max_tokens=8, trim=True)
    assert capped(card, plain) is card
    cases: list[tuple[dict[str, int], int]] = [
        ({"max_context_tokens": 300}, 300),
        ({"max_context_tokens": 300, "context_margin": 40}, 260),
        ({"context_margin": 40}, card.context_length - 40),
        ({"max_context_tokens": 300, "context_margin": 300}, 300),
        ({"max_context_tokens": card.context_length * 2}, card.context_length),
    ]
    for fields, context in cases:
        asked = msgspec.structs.replace(plain, **fields)
        assert capped(card, asked).context_length == context
        count = count_prompt(shop, asked)
        assert (count.context_length, count.limit) == (context, context - 8) and count.sent <= count.limit
    budget = msgspec.structs.replace(plain, max_context_tokens=300, prompt_budget=220)
    assert count_prompt(shop, budget).limit == 220 and count_prompt(shop, budget).sent <= 220


def test_an_answer_ends_where_the_capped_context_does(gpt_oss: LoadedModel) -> None:
    shop = desk(gpt_oss)
    prompt = ChatPrompt(messages=(Message(role="user", content="Hello"),), start_date="2026-01-01")
    sent = count_prompt(shop, GenerationRequest(id="1", prompt=prompt)).sent
    asked = GenerationRequest(id="2", prompt=prompt, max_tokens=100, max_context_tokens=sent + 5, sampling=Sampling(seed=1))
    finished = run(shop, asked)[-1]
    assert isinstance(finished, Finished) and finished.usage.completion_tokens <= 5
    with pytest.raises(ContextTooLong):
        run(shop, msgspec.structs.replace(asked, max_context_tokens=sent))
