"""What of a chat a model is told: the shown path as plain messages. Pure; knows neither templates nor storage."""

import datetime

import msgspec

from mlx_harmony.conversation.attachments import told
from mlx_harmony.conversation.records import Chat, ChatMessage, TurnOptions
from mlx_harmony.errors import ContextTooLong, InvalidRequest
from mlx_harmony.prompting.placeholders import Expand, expander, moment
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.records import ChatPrompt, Message

TITLE_LENGTH = 60
_REFUSED = frozenset({ContextTooLong.code, InvalidRequest.code})


def prompt_of(path: tuple[ChatMessage, ...], options: TurnOptions, created_at: float) -> ChatPrompt:
    """The prompt that asks for the next answer; `created_at` dates the whole chat, so that the prefix stays the same."""
    return _framed(tuple(plain for _, plain in _told(path, expander_of(options, created_at))), options, created_at)


def framed(messages: tuple[Message, ...], options: TurnOptions, created_at: float) -> ChatPrompt:
    """The prompt of these messages: instructions and examples before them, placeholders expanded as of the chat's own moment."""
    expand = expander_of(options, created_at)
    spoken = (msgspec.structs.replace(each, content=expand(each.content)) if each.role == "user" else each for each in messages)
    return _framed(tuple(spoken), options, created_at)


def _framed(messages: tuple[Message, ...], options: TurnOptions, created_at: float) -> ChatPrompt:
    """The same for messages whose placeholders are expanded already."""
    setup, expand = options.setup or ChatSetup(), expander_of(options, created_at)

    def expanded(message: Message) -> Message:
        return msgspec.structs.replace(message, content=expand(message.content))

    examples = (expanded(each) for dialogue in setup.examples for each in dialogue)
    return ChatPrompt(
        messages=(*_instructions(options, expand), *examples, *messages),
        tools=options.tools,
        effort=options.effort,
        channels=options.channels,
        identity=None if options.identity is None else expand(options.identity),
        knowledge_cutoff=expand(setup.knowledge_cutoff),
        start_date=_clock(setup, created_at).strftime("%Y-%m-%d") if setup.start_date is None else expand(setup.start_date),
    )


def expander_of(options: TurnOptions, created_at: float) -> Expand:
    """What expands a chat's placeholders, the same way in every turn: as of its setup's clock, else of the moment it began."""
    setup = options.setup or ChatSetup()
    return expander(setup.placeholders, _clock(setup, created_at))


def _clock(setup: ChatSetup, created_at: float) -> datetime.datetime:
    """The moment at which a chat's texts are read, in local time."""
    return (moment(setup.clock) if setup.clock else datetime.datetime.fromtimestamp(created_at, datetime.UTC)).astimezone()


def continued_prompt(path: tuple[ChatMessage, ...], options: TurnOptions, created_at: float) -> ChatPrompt:
    """The prompt that lets the last message of the path, an answer that was cut, go on where it ends."""
    prompt, cut = prompt_of(path[:-1], options, created_at), path[-1]
    last = Message(role="assistant", content=cut.content, reasoning=cut.reasoning)
    return msgspec.structs.replace(prompt, messages=(*prompt.messages, last), continue_last=True)


def can_continue(message: ChatMessage) -> bool:
    """Whether an answer was cut in its text or its thinking; one cut in a tool call or a preamble cannot be taken up there."""
    if message.role != "assistant" or message.state in ("complete", "streaming") or not message.lanes or message.tool_calls:
        return False
    last = message.lanes[-1]
    if last.recipient is not None or not last.text:
        return False
    return last.channel == "final" or (last.channel == "analysis" and not message.content)


def told_ids(path: tuple[ChatMessage, ...], options: TurnOptions) -> tuple[str, ...]:
    """For each message of `prompt_of` the id of the one it tells, "" for instructions and examples."""
    setup = options.setup or ChatSetup()
    before = len(_instructions(options, str)) + sum(len(dialogue) for dialogue in setup.examples)
    return ("",) * before + tuple(message.id for message, _ in _told(path, str))


def _instructions(options: TurnOptions, expand: Expand) -> tuple[Message, ...]:
    return (Message(role="developer", content=expand(options.instructions)),) if options.instructions.strip() else ()


def _told(path: tuple[ChatMessage, ...], expand: Expand) -> list[tuple[ChatMessage, Message]]:
    """Every turn that said something. An answer cut short counts as what was said; a call that nothing answered is left out.

    So is a message that was refused as such, for being longer than the context: it would make every later one fail as well.
    Placeholders are expanded in what a person typed, never in what came attached.
    """
    answered = {message.tool_call_id for message in path if message.role == "tool"}
    refused = {message.parent_id for message in path if message.error and message.error.code in _REFUSED and not message.content}
    messages = []
    for message in path:
        if message.id in refused:
            continue
        calls = tuple(call for call in message.tool_calls if call.id in answered)
        if message.content.strip() or message.attachments or calls:
            plain = Message(
                role=message.role,
                content=told(expand(message.content), message.attachments) if message.role == "user" else message.content,
                reasoning=message.reasoning,
                tool_calls=calls,
                tool_call_id=message.tool_call_id,
                name=message.name,
            )
            messages.append((message, plain))
    return messages


def last_id(chat: Chat) -> str:
    """The id of the last message shown, "" where there is none."""
    return chat.messages[-1].id if chat.messages else ""


def title_aside(text: str, model: str) -> str:
    """The title of a chat that nobody keeps yet: beside it lies one with the same first message, answered by another model."""
    return f"{title_of(text)} ({title_of(model)})"


def title_of(text: str) -> str:
    """A chat's title from its first message: one line, shortened at a word to at most 60 characters."""
    line = " ".join(text.split())
    if len(line) <= TITLE_LENGTH:
        return line
    cut = line[: TITLE_LENGTH - 1]
    at_word = cut.rsplit(" ", 1)[0] if line[TITLE_LENGTH - 1] != " " else cut
    return (at_word if len(at_word) > TITLE_LENGTH // 2 else cut).rstrip() + "…"
