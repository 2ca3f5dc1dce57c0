"""What every format asks of a prompt before it renders it. Knows no tokens and no templates."""

import json

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.records import ChatPrompt, Message

MAX_TEXT_CHARACTERS = 16_000_000


def check_chat(prompt: ChatPrompt) -> None:
    """Raises InvalidRequest for a conversation that no format can write, or that holds text no tokenizer can take."""
    if not prompt.messages:
        raise InvalidRequest("There are no messages to answer.", hint="Send at least one message.", param="messages")
    if prompt.continue_last and (prompt.messages[-1].role != "assistant" or prompt.messages[-1].tool_calls):
        raise InvalidRequest("Only an assistant's answer can be continued.", hint="Put the answer to continue last.", param="messages")
    if any(tool.kind == "function" and not tool.name for tool in prompt.tools):
        raise InvalidRequest("A function tool needs a name.", hint='Give it `"name"`.', param="tools")
    check_text(prompt.identity or "", "identity")
    check_text(prompt.knowledge_cutoff + (prompt.start_date or ""), "knowledge_cutoff")
    called: set[str] = set()
    for message in prompt.messages:
        _check_message(message, called)
        called |= {call.id for call in message.tool_calls}


def refuse_roles(prompt: ChatPrompt, why: str) -> None:
    """Raises InvalidRequest for a role mapping, which only a model without a template of its own can use; `why` says what this one has."""
    if prompt.roles is not None:
        hint = "Leave role_mapping out; it is for models without a chat template."
        raise InvalidRequest(f"role_mapping changes nothing here: the model {why}.", hint=hint, param="role_mapping")


def _check_message(message: Message, called: set[str]) -> None:
    for text in (message.content, message.reasoning, message.name or ""):
        check_text(text, "messages")
    for call in message.tool_calls:
        check_text(call.name + call.arguments, "messages")
    if message.role == "tool" and message.tool_call_id not in called and not message.name:
        raise InvalidRequest(
            f"A tool message answers the call {json.dumps(message.tool_call_id)}, which no earlier message made.",
            hint="Send the assistant message with that tool call before it.",
            param="messages",
        )


def check_text(text: str, param: str) -> str:
    """The text, if a tokenizer can take it. Raises InvalidRequest for lone surrogates and for more than a context could ever hold."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise InvalidRequest(
            f"The text holds {len(text):,} characters; no more than {MAX_TEXT_CHARACTERS:,} can be read.",
            hint="Send less text.",
            param=param,
        )
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"The text holds half of a surrogate pair at character {error.start + 1}, which is no valid Unicode.",
                hint="Remove that character and send it again.",
                param=param,
            ) from error
    return text
