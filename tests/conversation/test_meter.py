"""The context meter: what the next prompt takes, by message, with the draft; nothing while nobody can count."""

import msgspec
import pytest

from mlx_harmony.conversation.meter import Draft, measure, measured
from mlx_harmony.conversation.plan import Asked
from mlx_harmony.conversation.records import Chat, ChatMessage, ContextUse, TurnOptions
from mlx_harmony.conversation.store import Store
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.records import ChatPrompt, GenerationRequest, ModelEntry, PromptCount, Role
from tests.conversation.conftest import STARTER
from tests.fixtures.provider import ScriptedProvider

ASKED = Asked(STARTER, TurnOptions(instructions="Be very brief"), 0.0)


def said(name: str, role: Role, content: str) -> ChatMessage:
    return ChatMessage(id=name, chat_id="c", role=role, content=content, created_at=0.0)


PATH = (said("u", "user", "one two"), said("a", "assistant", "three"))


async def awake() -> ScriptedProvider:
    provider = ScriptedProvider()
    await provider.load(STARTER)
    return provider


async def test_each_message_and_the_draft_are_counted() -> None:
    use = await measure(await awake(), PATH, Draft("and four more"), ASKED)
    expected = ContextUse(total=9, sent=9, limit=3072, context_length=4096, draft=3, messages=(("u", 2), ("a", 1)), reused=0)
    assert use == expected
    use = await measure(await awake(), PATH, Draft("  "), ASKED)
    assert use and use.total == 6 and use.draft == 0


async def test_a_sleeping_model_counts_nothing_and_is_not_woken() -> None:
    provider = ScriptedProvider()
    assert await measure(provider, PATH, Draft("hello"), ASKED) is None and provider.loaded == {}
    assert await measure(await awake(), (), Draft(" "), ASKED) is None


async def test_where_messages_are_not_rendered_one_by_one_the_draft_is_the_difference() -> None:
    class Whole(ScriptedProvider):
        async def count(self, entry: ModelEntry, request: GenerationRequest) -> PromptCount | None:
            assert isinstance(request.prompt, ChatPrompt)
            total = 100 * len(request.prompt.messages)
            return PromptCount(total=total, limit=250, context_length=300, sent=200, dropped=(1,), reused=150, seconds=0.5)

    use = await measure(Whole(), PATH, Draft("hello"), ASKED)
    assert use == ContextUse(total=400, sent=200, limit=250, context_length=300, draft=100, trimmed=("u",), reused=150, seconds=0.5)


async def test_it_counts_within_what_the_next_answer_may_use() -> None:
    class Asking(ScriptedProvider):
        async def count(self, entry: ModelEntry, request: GenerationRequest) -> PromptCount | None:
            asked.append((request.max_context_tokens, request.context_margin, request.prompt_budget, request.max_tokens))
            return None

    asked: list[tuple[int | None, ...]] = []
    setup = ChatSetup(max_context_tokens=900, max_context_tokens_margin=50, prompt_token_budget=400)
    for options in (TurnOptions(setup=setup, max_tokens=100), TurnOptions(setup=setup, max_context_tokens=700)):
        await measure(Asking(), PATH, Draft(), Asked(STARTER, options, 0.0))
    assert asked == [(900, 50, 400, 100), (700, 50, 400, None)]


async def chat_of(store: Store, *texts: str) -> Chat:
    await store.create_chat("c", ASKED.options)
    parent = None
    for number, text in enumerate(texts):
        message = msgspec.structs.replace(said(f"m{number}", "assistant" if number % 2 else "user", text), parent_id=parent)
        await store.begin_turn((message,), ASKED.options)
        parent = message.id
    return await store.read_chat("c")


async def test_a_sleeping_model_s_chat_takes_what_it_took_when_it_was_last_counted(store: Store) -> None:
    chat = await chat_of(store, "one two", "three")
    provider = await awake()
    now = await measured(store, provider, chat, Draft(), ASKED)
    assert now and (now.total, now.counted) == (6, "now")
    await provider.unload("starter")
    asleep = await measured(store, provider, chat, Draft(), ASKED)
    assert asleep == msgspec.structs.replace(now, counted="before", reused=None), "what its cache spares is not known while it sleeps"
    drafted = await measured(store, provider, chat, Draft("A question of some length"), ASKED)
    assert drafted and drafted.counted == "estimate" and drafted.total == now.total + drafted.draft and 5 < drafted.draft < 20


async def test_a_trimmed_chat_of_a_sleeping_model_sends_what_it_sent_when_it_was_counted(store: Store) -> None:
    class Trimming(ScriptedProvider):
        async def count(self, entry: ModelEntry, request: GenerationRequest) -> PromptCount | None:
            return PromptCount(total=585, limit=300, context_length=400, sent=280, messages=(5, 5, 5), dropped=(1,))

    chat = await chat_of(store, "one two", "three")
    now = await measured(store, Trimming(), chat, Draft(), ASKED)
    asleep = await measured(store, ScriptedProvider(), chat, Draft(), ASKED)
    assert now and asleep and (asleep.total, asleep.sent, asleep.trimmed) == (585, 280, ("m0",)) == (now.total, now.sent, now.trimmed)
    drafted = await measured(store, ScriptedProvider(), chat, Draft("A question of some length, longer than what is left"), ASKED)
    assert drafted and drafted.total > 585 and 280 < drafted.sent <= 300


async def test_what_was_not_counted_is_estimated_and_said_to_be(store: Store) -> None:
    provider = ScriptedProvider()
    entry = msgspec.structs.replace(STARTER, context_length=2048)
    chat = await chat_of(store, "one two", "three")
    assert await measured(store, provider, chat, Draft("x"), ASKED) is None
    guess = await measured(store, provider, chat, Draft(), ASKED._replace(entry=entry))
    assert guess and (guess.counted, guess.limit, guess.context_length) == ("estimate", 1536, 2048) and 6 <= guess.total < 30
    capped = ASKED._replace(entry=entry, options=TurnOptions(max_tokens=100, max_context_tokens=900))
    limited = await measured(store, provider, chat, Draft(), capped)
    assert limited and (limited.limit, limited.context_length) == (800, 900)
    await provider.load(STARTER)
    counted = await measured(store, provider, chat, Draft(), ASKED)
    await provider.unload("starter")
    more = said("m2", "user", "four five six")
    longer = msgspec.structs.replace(chat, messages=(*chat.messages, more))
    grown = await measured(store, provider, longer, Draft(), ASKED)
    assert counted and grown and grown.counted == "estimate" and grown.total > counted.total and grown.limit == counted.limit


@pytest.mark.parametrize(
    "asked",
    [
        ASKED._replace(options=TurnOptions(instructions="Other words")),
        ASKED._replace(options=TurnOptions(instructions="Be very brief", max_tokens=9)),
        ASKED._replace(entry=msgspec.structs.replace(STARTER, bytes=2)),
        ASKED._replace(entry=msgspec.structs.replace(STARTER, modified_at=5.0)),
    ],
)
async def test_a_count_holds_for_the_very_prompt_limits_and_model_files_it_was_made_with(store: Store, asked: Asked) -> None:
    chat = await chat_of(store, "one two", "three")
    provider = await awake()
    await measured(store, provider, chat, Draft(), ASKED)
    await provider.unload("starter")
    use = await measured(store, provider, chat, Draft(), asked)
    assert use and use.counted == "estimate"


async def test_another_model_s_count_is_its_own_and_goes_with_the_chat(store: Store) -> None:
    chat = await chat_of(store, "one two", "three")
    provider = await awake()
    other = ASKED._replace(entry=msgspec.structs.replace(STARTER, id="other"))
    await measured(store, provider, chat, Draft(), ASKED)
    assert await store.read_count("c", "starter") and await measured(store, provider, chat, Draft(), other) is None
    await store.trash_chat("c")
    await store.empty_trash()
    assert await store.read_count("c", "starter") is None
    await measured(store, provider, chat, Draft(), ASKED)
    assert await store.read_count("c", "starter") is None
