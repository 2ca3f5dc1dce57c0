"""The context meter: what the next prompt takes, by message, with the draft; nothing while nobody can count."""

from mlx_harmony.conversation.meter import Draft, measure
from mlx_harmony.conversation.plan import Asked
from mlx_harmony.conversation.records import ChatMessage, ContextUse, TurnOptions
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
    expected = ContextUse(total=9, sent=9, limit=3072, context_length=4096, draft=3, messages=(("u", 2), ("a", 1)))
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
            return PromptCount(total=total, limit=250, context_length=300, sent=200, dropped=(1,))

    use = await measure(Whole(), PATH, Draft("hello"), ASKED)
    assert use == ContextUse(total=400, sent=200, limit=250, context_length=300, draft=100, trimmed=("u",))


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
