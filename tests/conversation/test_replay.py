"""What made an answer, as options and as requests in three notations: complete, quoted, and nothing more than the model saw."""

import json
import shlex
from typing import Any

import msgspec
import pytest

from mlx_harmony.api.chat_request import generation_request, read_body
from mlx_harmony.conversation.history import prompt_of
from mlx_harmony.conversation.records import ChatMessage, Provenance, TurnOptions
from mlx_harmony.conversation.replay import Server, copied, options_again
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.ranges import SAMPLING_FIELDS
from mlx_harmony.records import KvOptions, Role, Sampling, Timings, Tool, ToolCall, Usage

HERE = Server("http://127.0.0.1:7860", wants_key=False)
NASTY = 'it\'s "quoted" `run` $HOME \\ \nJSON\n<b>é 🎉'
MADE = Provenance(
    model="starter",
    sampling=Sampling(temperature=0.5, top_k=40, logit_bias={7: -1.5}),
    seed=12345,
    effort="low",
    identity="You are Ada.",
    instructions="Be brief.",
    max_tokens=50,
    max_context_tokens=900,
    stop=("END",),
    end_tokens=("<|end|>",),
    channels=("analysis", "final"),
    analysis_budget=0,
    loop_detection="off",
    speculation="draft",
    draft_model="",
    num_draft_tokens=3,
    kv=KvOptions(kv_bits=8, kv_group_size=32, quantized_kv_start=0),
    tools=(Tool(kind="python"), Tool(kind="function", name="f", parameters={"type": "object"})),
)
TIMINGS = Timings(prompt_n=1, cached_n=0, prompt_ms=1.0, predicted_n=1, predicted_ms=1.0)


def said(id: str, role: Role, content: str, **more: Any) -> ChatMessage:
    return ChatMessage(id=id, chat_id="c", role=role, content=content, created_at=0.0, **more)


ANSWER = said("a2", "assistant", "Fine.", provenance=MADE, usage=Usage(prompt_tokens=1, completion_tokens=1), timings=TIMINGS)
CALL = ToolCall(id="1", name="python", arguments='{"code": "1"}')
PATH = (
    said("u1", "user", NASTY),
    said("a1", "assistant", "", tool_calls=(CALL,), reasoning="hm"),
    said("t1", "tool", "1", tool_call_id="1", name="python"),
    said("u2", "user", "And now?"),
    ANSWER,
)


def body_of(text: str) -> dict[str, Any]:
    """The JSON between the marks of a here-document."""
    return json.loads(text.split("<<'JSON'\n", 1)[1].removesuffix("\nJSON\n"))  # type: ignore[no-any-return]


def test_the_options_hold_all_that_made_the_answer_and_its_seed() -> None:
    again = options_again(ANSWER)
    expected = TurnOptions(
        model="starter",
        sampling=Sampling(temperature=0.5, top_k=40, logit_bias={7: -1.5}, seed=12345),
        max_tokens=50,
        max_context_tokens=900,
        stop=("END",),
        end_tokens=("<|end|>",),
        channels=("analysis", "final"),
        analysis_budget=0,
        loop_detection="off",
        speculation="draft",
        draft_model="",
        num_draft_tokens=3,
        kv=KvOptions(kv_bits=8, kv_group_size=32, quantized_kv_start=0),
        effort="low",
        identity="You are Ada.",
        instructions="Be brief.",
        tools=MADE.tools,
        exact_seed=True,
    )
    assert again == expected


def test_what_no_model_made_cannot_be_made_again() -> None:
    for message in (PATH[0], said("a", "assistant", "imported")):
        with pytest.raises(InvalidRequest, match="not known"):
            options_again(message)


@pytest.mark.parametrize("kind", ["curl", "cli"])
def test_a_shell_gets_the_whole_request_by_a_here_document(kind: Any) -> None:
    text = copied(kind, PATH, 1_700_000_000.0, HERE)
    body = body_of(text)
    assert [message["role"] for message in body["messages"]] == ["developer", "user", "assistant", "tool", "user"]
    assert body["messages"][1]["content"] == NASTY and body["messages"][2]["tool_calls"][0]["function"]["name"] == "python"
    assert (body["seed"], body["temperature"], body["top_k"], body["logit_bias"]) == (12345, 0.5, 40, {"7": -1.5})
    assert (body["max_tokens"], body["stop"], body["reasoning_effort"]) == (50, ["END"], "low")
    assert body["system_model_identity"] == "You are Ada." and body["conversation_start_date"].startswith("2023-11-1")
    assert body["tools"][0] == {"type": "python"} and body["tools"][1]["function"]["name"] == "f"
    assert (body["speculation"], body["draft_model"], body["num_draft_tokens"]) == ("draft", None, 3)
    assert "presence_penalty" not in body and "Authorization" not in text


def test_a_server_with_keys_gets_one_from_the_environment() -> None:
    server = Server("http://host:1", wants_key=True)
    assert '-H "Authorization: Bearer $MLX_HARMONY_API_KEY"' in copied("curl", PATH, 0.0, server)
    assert 'api_key=os.environ["MLX_HARMONY_API_KEY"]' in copied("python", PATH, 0.0, server)
    odd = Server("http://host:1/';rm -rf ~;'", wants_key=False)
    assert shlex.split(copied("curl", PATH, 0.0, odd).split(" \\\n")[0])[2] == "http://host:1/';rm -rf ~;'/v1/chat/completions"


def test_python_compiles_and_carries_our_own_fields_beside_openai_s() -> None:
    text = copied("python", PATH, 0.0, HERE)
    compile(text, "copied", "exec")
    asked: dict[str, Any] = {}

    class Client:
        def __init__(self, **given: Any) -> None:
            self.chat = self.completions = self

        def create(self, **given: Any) -> Any:
            asked.update(given)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exec(text.replace("from openai import OpenAI", ""), {"OpenAI": Client})
    assert asked["messages"][1]["content"] == NASTY and asked["seed"] == 12345
    assert asked["extra_body"]["top_k"] == 40 and "messages" not in asked["extra_body"]


def test_what_the_model_did_not_see_is_not_in_the_request() -> None:
    seen = said("a3", "assistant", "Fine.", provenance=MADE, seen_from="u2")
    body = body_of(copied("curl", (*PATH[:4], seen), 0.0, HERE))
    assert [message["content"] for message in body["messages"]] == ["Be brief.", "And now?"]


def test_a_copied_request_asks_for_what_made_the_answer_to_the_last_field() -> None:
    numbers = {field.name: field.low + (1 if field.integer else 0.25) for field in SAMPLING_FIELDS}
    unusual = Sampling(**numbers, logit_bias={7: 1.5}, xtc_special_tokens=(3,))  # type: ignore[arg-type]
    made = msgspec.structs.replace(MADE, sampling=unusual, seed=unusual.seed)
    path = (*PATH[:4], msgspec.structs.replace(ANSWER, provenance=made))
    setup = ChatSetup(knowledge_cutoff="2030-01", start_date="1999-12-31")
    asked = generation_request(read_body(body_of(copied("curl", path, 0.0, HERE, setup))))
    options = msgspec.structs.replace(options_again(path[-1]), setup=setup)
    assert asked.prompt == prompt_of(path[:4], options, 0.0) and asked.sampling == unusual
    names = ("max_tokens", "stop", "end_tokens", "analysis_budget", "loop_detection", "kv")
    assert [getattr(asked, name) for name in names] == [getattr(made, name) for name in names]
