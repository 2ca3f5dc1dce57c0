"""From a chat completion body to a GenerationRequest: what each field means, and what is refused with the field's name.

Knows nothing of HTTP and nothing of models; ranges come from `mlx_harmony.ranges`.
"""

import re
import uuid
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from pydantic import ValidationError

from mlx_harmony import ranges
from mlx_harmony.api.schemas import ChatBody, MessageField, PartField, Shape, ToolField
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.field import check_field
from mlx_harmony.records import (
    CHANNELS,
    DEFAULT_CUTOFF,
    EFFORTS,
    LOOP_DETECTIONS,
    SPECULATIONS,
    Channel,
    ChatPrompt,
    GenerationRequest,
    KvOptions,
    Message,
    Role,
    RoleMapping,
    Sampling,
    Tool,
    ToolCall,
)

Word = TypeVar("Word", bound=str)
Body = TypeVar("Body", bound=Shape)

_REASONING_BUDGET = msgspec.structs.replace(ranges.ANALYSIS_BUDGET, name="reasoning_budget")
_NAMES = {
    "reasoning_effort": "effort",
    "system_model_identity": "identity",
    "conversation_start_date": "start_date",
    "max_completion_tokens": "max_tokens",
    "reasoning_budget": "analysis_budget",
    "role_mapping": "roles",
}
"""What a field is called beyond this edge; the others keep their names."""
FUNCTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def read_body(raw: dict[str, Any]) -> ChatBody:
    """Check the types; raises InvalidRequest with the path of the first field that is wrong."""
    return body_as(ChatBody, raw)


def body_as(shape: type[Body], raw: dict[str, Any]) -> Body:
    """The same for any shape."""
    try:
        return shape.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        param = field_path(first["loc"], raw)
        reason = "is missing" if first["type"] == "missing" else _sentence(first["msg"])
        raise InvalidRequest(f"{param} {reason}.", param=param) from None


def field_path(loc: tuple[int | str, ...], raw: object) -> str:
    """pydantic's location as OpenAI writes it: `messages[0].content`. Steps that name a union's branch are not in the body: left out."""
    path, node = "", raw
    for step in loc:
        if isinstance(step, int) and isinstance(node, list):
            path += f"[{step}]"
            node = node[step] if step < len(node) else None
        elif isinstance(step, str) and isinstance(node, dict):
            path += f".{step}" if path else step
            node = node.get(step)
    return path or "body"


def adapter_of(body: ChatBody) -> str:
    """The LoRA weights that are to go over the model, by id or folder; "" for none. `adapters` is what mlx_lm.server calls them."""
    named = {name for name in (body.adapter, body.adapters) if name}
    if len(named) > 1:
        raise InvalidRequest("adapter and adapters name different things.", hint="Send one of them.", param="adapter")
    return next(iter(named), "")


def generation_request(body: ChatBody) -> GenerationRequest:
    """The checked request; raises InvalidRequest."""
    _refuse_unsupported(body)
    tools = _tools(body)
    prompt = ChatPrompt(
        messages=_messages(body.messages),
        tools=tools,
        effort=_one_of("reasoning_effort", body.reasoning_effort, EFFORTS, "medium"),
        channels=_channels(body.channels),
        identity=body.system_model_identity,
        knowledge_cutoff=DEFAULT_CUTOFF if body.knowledge_cutoff is None else body.knowledge_cutoff,
        start_date=body.conversation_start_date,
        roles=_roles(body.role_mapping),
    )
    request = GenerationRequest(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        prompt=prompt,
        sampling=_sampling(body),
        max_tokens=body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens,
        stop=tuple(body.stop),
        end_tokens=tuple(body.end_tokens or ()),
        analysis_budget=body.reasoning_budget,
        loop_detection=_one_of("loop_detection", body.loop_detection, LOOP_DETECTIONS, "cheap"),
        top_logprobs=_top_logprobs(body),
        kv=KvOptions(**{name: getattr(body, name) for name in KvOptions.__struct_fields__}),
        speculation=_one_of("speculation", body.speculation, SPECULATIONS, "auto"),
        draft_model="" if body.draft_model is None and "draft_model" in body.model_fields_set else body.draft_model,
        num_draft_tokens=body.num_draft_tokens,
    )
    check_field(_REASONING_BUDGET, body.reasoning_budget)
    ranges.check_request(request)
    return request


def said_by(body: ChatBody) -> frozenset[str]:
    """The fields that a request brings itself, as the records call them; null is as if it were not there, but no draft model is one."""
    given = {name for name in body.model_fields_set if getattr(body, name) not in (None, [])}
    return frozenset(_NAMES.get(name, name) for name in given | ({"draft_model"} & body.model_fields_set))


def _sentence(text: str) -> str:
    return text[:1].lower() + text[1:].removesuffix(".")


def _refuse_unsupported(body: ChatBody) -> None:
    if body.n not in (None, 1):
        raise InvalidRequest("n must be 1: one answer a request is what this server gives.", param="n")
    if body.response_format is not None and body.response_format.type != "text":
        raise InvalidRequest("response_format other than text is not supported yet.", param="response_format")
    if body.modalities is not None and body.modalities != ["text"]:
        raise InvalidRequest("This server answers in text only.", param="modalities")
    if body.functions:
        raise InvalidRequest("functions is the old form of tools.", hint="Declare them in tools.", param="functions")
    if body.tool_choice not in (None, "auto", "none"):
        hint = "Use auto or none."
        raise InvalidRequest("tool_choice that forces a call is not supported yet.", hint=hint, param="tool_choice")


def _one_of(param: str, given: str | None, choices: tuple[Word, ...], default: Word) -> Word:
    """The choice that was named, in any case."""
    chosen = default if given is None else next((choice for choice in choices if choice == given.lower()), None)
    if chosen is None:
        raise InvalidRequest(f"{param} must be one of {', '.join(choices)}.", param=param)
    return chosen


def _roles(given: dict[str, str] | None) -> RoleMapping | None:
    """mlx_lm.server's mapping; an empty one is none, as there."""
    known = RoleMapping.__struct_fields__
    for name in given or ():
        if name not in known:
            hint = f"Known: {', '.join(known)}."
            raise InvalidRequest(f"role_mapping has no {name[:40]!r}.", hint=hint, param=f"role_mapping.{name[:40]}")
    return RoleMapping(**given) if given else None


def _channels(given: list[str] | None) -> tuple[Channel, ...]:
    if given is None:
        return CHANNELS
    ranges.check_channels(tuple(given))
    return tuple(channel for channel in CHANNELS if channel in given)


def _sampling(body: ChatBody) -> Sampling:
    names = [field.name for field in ranges.SAMPLING_FIELDS]
    given = {name: getattr(body, name) for name in [*names, "logit_bias"] if getattr(body, name) is not None}
    return Sampling(**given, xtc_special_tokens=None if body.xtc_special_tokens is None else tuple(body.xtc_special_tokens))


def _top_logprobs(body: ChatBody) -> int | None:
    if body.top_logprobs is not None and not body.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs to be true.", param="top_logprobs")
    return (body.top_logprobs or 0) if body.logprobs else None


def _tools(body: ChatBody) -> tuple[Tool, ...]:
    tools = tuple(_tool(field, f"tools[{at}]") for at, field in enumerate(body.tools or ()))
    names = [tool.name or tool.kind for tool in tools]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise InvalidRequest(f"Two tools are named {name}.", hint="Give each tool a name of its own.", param=f"tools[{at}]")
    return () if body.tool_choice == "none" else tools


def _tool(field: ToolField, param: str) -> Tool:
    if field.type != "function":
        return Tool(kind=field.type)
    if field.function is None:
        raise InvalidRequest(f"{param}.function is missing.", param=f"{param}.function")
    function = field.function
    if not FUNCTION_NAME.fullmatch(function.name):
        hint = "Use up to 64 letters, digits, underscores and hyphens."
        raise InvalidRequest(f"{param}.function.name cannot be used.", hint=hint, param=f"{param}.function.name")
    schema = function.parameters
    if schema and (schema.get("type", "object") != "object" or not isinstance(schema.get("properties", {}), dict)):
        raise InvalidRequest(f"{param}.function.parameters must be a JSON Schema of an object.", param=f"{param}.function.parameters")
    return Tool(kind="function", name=function.name, description=function.description or "", parameters=schema)


def _messages(fields: list[MessageField]) -> tuple[Message, ...]:
    called: dict[str, str] = {}
    messages: list[Message] = []
    for at, field in enumerate(fields):
        message = _message(field, f"messages[{at}]")
        called |= {call.id: call.name for call in message.tool_calls}
        messages.append(_answering(message, called, f"messages[{at}]") if message.role == "tool" else message)
    return tuple(messages)


def _message(field: MessageField, param: str) -> Message:
    role: Role = "tool" if field.role == "function" else field.role
    calls = field.tool_calls or []
    if calls and role != "assistant":
        raise InvalidRequest(f"{param}.tool_calls belongs to an assistant message.", param=f"{param}.tool_calls")
    if field.content is None and role != "assistant":
        raise InvalidRequest(f"{param}.content is missing.", param=f"{param}.content")
    return Message(
        role=role,
        content="".join(_texts(field.content or [], param)),
        reasoning=(field.reasoning or field.reasoning_content or "") if role == "assistant" else "",
        tool_calls=tuple(ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments) for call in calls),
        tool_call_id=field.tool_call_id,
        name=field.name,
    )


def _texts(parts: list[PartField], param: str) -> Iterator[str]:
    for at, part in enumerate(parts):
        text = part.refusal if part.type == "refusal" else part.text if part.type == "text" else None
        if text is None:
            what = f"{part.type} without its text" if part.type in ("text", "refusal") else f"type {part.type[:40]}"
            raise InvalidRequest(
                f"{param}.content[{at}] is of {what}, which this server does not read.",
                hint="Send text parts only.",
                param=f"{param}.content[{at}]",
            )
        yield text


def _answering(message: Message, called: dict[str, str], param: str) -> Message:
    """A tool's result with the name of the call it answers; OpenAI's own messages carry only the id."""
    name = called.get(message.tool_call_id or "", message.name)
    if name is None:
        hint = "Send the assistant message with that call before it, or give the tool's name."
        raise InvalidRequest(f"{param}.tool_call_id answers no earlier tool call.", hint=hint, param=f"{param}.tool_call_id")
    return Message(role="tool", content=message.content, tool_call_id=message.tool_call_id, name=name)
