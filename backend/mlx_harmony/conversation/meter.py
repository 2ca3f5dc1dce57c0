"""How much of the context a chat takes, asked of the loaded model itself, or as it was last counted. Knows no tokenizer."""

from typing import NamedTuple

from mlx_harmony.conversation.counts import kept_count, recalled
from mlx_harmony.conversation.history import prompt_of, told_ids
from mlx_harmony.conversation.plan import Asked, fitting, new_id
from mlx_harmony.conversation.records import Attachment, Chat, ChatMessage, ContextUse
from mlx_harmony.conversation.store import Store
from mlx_harmony.engine.protocols import Answers
from mlx_harmony.records import GenerationRequest, PromptCount


class Draft(NamedTuple):
    """What is about to be sent."""

    text: str = ""
    attachments: tuple[Attachment, ...] = ()


async def measured(store: Store, provider: Answers, chat: Chat, draft: Draft, asked: Asked) -> ContextUse | None:
    """What the next prompt of a chat takes: counted now, else as kept from the last time; None where there is nothing to count."""
    chat_id, path, model = chat.summary.id, chat.messages, asked.entry.id
    use = await measure(provider, path, draft, asked)
    if use is None and (path or _typed(draft)):
        return recalled(await store.read_count(chat_id, model), path, _typed(draft), asked)
    if use is not None and not use.draft:
        count = kept_count(use, path, asked)
        before = await store.read_count(chat_id, model)
        if before != count:
            await store.keep_count(chat_id, model, count)
    return use


def _typed(draft: Draft) -> tuple[ChatMessage, ...]:
    message = ChatMessage(id="", chat_id="", role="user", content=draft.text, created_at=0.0, attachments=draft.attachments)
    return (message,) if draft.text.strip() or draft.attachments else ()


async def measure(provider: Answers, path: tuple[ChatMessage, ...], draft: Draft, asked: Asked) -> ContextUse | None:
    """What the next prompt takes with `draft` as its question; None while the model is asleep, or there is nothing to count."""
    typed = _typed(draft)
    if not path and not typed:
        return None
    told = told_ids((*path, *typed), asked.options)
    count = await _count(provider, (*path, *typed), asked)
    if count is None:
        return None
    costs = 0
    if typed and count.messages:
        costs = count.messages[-1]
    elif typed:
        before = await _count(provider, path, asked) if path else None
        costs = count.total - before.total if before else count.total
    return ContextUse(
        total=count.total,
        sent=count.sent,
        limit=count.limit,
        context_length=count.context_length,
        draft=costs,
        messages=tuple((name, tokens) for name, tokens in zip(told, count.messages, strict=False) if name),
        trimmed=tuple(told[at] for at in count.dropped if told[at]),
        reused=count.reused,
        seconds=count.seconds,
    )


async def _count(provider: Answers, path: tuple[ChatMessage, ...], asked: Asked) -> PromptCount | None:
    prompt = prompt_of(path, asked.options, asked.created_at)
    return await provider.count(asked.entry, fitting(GenerationRequest(id=new_id(), prompt=prompt), asked.options))
