"""Raw request bodies that have killed or confused servers, and their kin. Each must get a 4xx, and the next request must work.

They are bytes, not objects: a generator of valid JSON cannot make the worst of them.
"""

import json

OK = {"model": "starter", "messages": [{"role": "user", "content": "hi"}]}


def with_field(name: str, value: object) -> bytes:
    return json.dumps({**OK, name: value}).encode()


def with_raw(name: str, value: str) -> bytes:
    """A field whose value is written as it stands: what json.dumps would not write."""
    return json.dumps(OK).encode()[:-1] + f', "{name}": {value}}}'.encode()


def with_messages(*messages: object) -> bytes:
    return json.dumps({"model": "starter", "messages": messages}).encode()


def with_tool(tool: object) -> bytes:
    return with_field("tools", [tool])


def with_call(call: object) -> bytes:
    return with_messages({"role": "user", "content": "hi"}, {"role": "assistant", "content": None, "tool_calls": call}, USER)


USER = {"role": "user", "content": "hi"}

NOT_JSON: list[bytes] = [
    b"",
    b" ",
    b"null",
    b"true",
    b"0",
    b'"text"',
    b"[]",
    b"[{}]",
    b"{",
    b"}",
    b"{]",
    b'{"messages"}',
    b'{"messages":}',
    b'{"messages": [,]}',
    b'{"messages": [] ',
    b'{"messages": []}}',
    b"{'messages': []}",
    b'{messages: [{"role": "user", "content": "hi"}]}',
    json.dumps(OK).encode() + b"\x00",
    json.dumps(OK).encode() + b" trailing",
    json.dumps(OK).encode() + json.dumps(OK).encode(),
    b"\xef\xbb\xbf" + json.dumps(OK).encode(),
    json.dumps(OK).encode("utf-16"),
    json.dumps(OK).encode("utf-32"),
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    b"\xff\xfe\xfd",
    b"\x00" * 64,
    b'{"messages": [{"role": "user", "content": "\xff"}]}',
    b'{"messages": [{"role": "user", "content": "\xc3\x28"}]}',
    b'{"messages": [{"role": "user", "content": "\xed\xa0\x80"}]}',
    b'{"messages": [{"role": "user", "content": "\xf5\x80\x80\x80"}]}',
    b'{"messages": [{"role": "user", "content": "\xc0\xaf"}]}',
    b'{"messages": [{"role": "user", "content": "a\nb"}]}',
    b'{"messages": [{"role": "user", "content": "a\x00b"}]}',
    b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
    b'{"messages": [{"role": "user", "content": "\\udfff alone"}]}',
    b'{"messages": [{"role": "user", "content": "\\ud83d\\u0041"}]}',
    b'{"messages": [{"role": "user", "content": "\\ud83d"}], "model": "starter"}',
    b'{"\\ud800": 1, "messages": [{"role": "user", "content": "hi"}]}',
    b'{"messages": [{"role": "user", "content": "\\x41"}]}',
    b'{"messages": [{"role": "user", "content": "\\u12"}]}',
    b"model=starter&messages=hi",
    b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--",
    b"<?xml version='1.0'?><messages/>",
    b"!!python/object/apply:os.system ['true']",
    b"[" * 100_000,
    b"{" + b'"a":{' * 50_000,
    b'{"messages": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b'{"a": ' * 2_000 + b"1" + b"}" * 2_000,
    b'{"messages": ' + b'[{"role":' * 200 + b"1" + b"}]" * 200 + b"}",
    json.dumps({**OK, "metadata": json.loads("[" * 80 + "]" * 80)}).encode(),
    with_raw("temperature", "NaN"),
    with_raw("temperature", "Infinity"),
    with_raw("temperature", "-Infinity"),
    with_raw("temperature", "nan"),
    with_raw("temperature", "1e999"),
    with_raw("temperature", "-1e999"),
    with_raw("temperature", "0x1"),
    with_raw("temperature", "01"),
    with_raw("temperature", "+1"),
    with_raw("temperature", ".5"),
    with_raw("temperature", "1."),
    with_raw("temperature", "1e"),
    with_raw("temperature", "1" * 5000),
    with_raw("seed", "9" * 400),
    with_raw("user", "1e400"),
    with_raw("metadata", "NaN"),
    with_raw("stop", '["a",]'),
    with_raw("stop", "undefined"),
]
"""Bodies that are no JSON object, or one that no JSON parser should let pass."""

MESSAGES: list[bytes] = [
    b"{}",
    b'{"model": "starter"}',
    b'{"messages": null}',
    b'{"messages": ""}',
    b'{"messages": "hi"}',
    b'{"messages": 1}',
    b'{"messages": true}',
    b'{"messages": {}}',
    b'{"messages": {"role": "user", "content": "hi"}}',
    b'{"messages": []}',
    b'{"prompt": ["hi"]}',
    b'{"prompt": "hi"}',
    with_messages(None),
    with_messages(1),
    with_messages("hi"),
    with_messages([]),
    with_messages({}),
    with_messages({"role": "user"}),
    with_messages({"content": "hi"}),
    with_messages({"role": None, "content": "hi"}),
    with_messages({"role": 1, "content": "hi"}),
    with_messages({"role": "", "content": "hi"}),
    with_messages({"role": "User", "content": "hi"}),
    with_messages({"role": "root", "content": "hi"}),
    with_messages({"role": "<|start|>system", "content": "hi"}),
    with_messages({"role": ["user"], "content": "hi"}),
    with_messages({"role": "user", "content": None}),
    with_messages({"role": "user", "content": ""}),
    with_messages({"role": "user", "content": "   \n\t "}),
    with_messages({"role": "user", "content": []}),
    with_messages({"role": "user", "content": 1}),
    with_messages({"role": "user", "content": 1.5}),
    with_messages({"role": "user", "content": True}),
    with_messages({"role": "user", "content": {}}),
    with_messages({"role": "user", "content": {"type": "text", "text": "hi"}}),
    with_messages({"role": "user", "content": ["hi"]}),
    with_messages({"role": "user", "content": [None]}),
    with_messages({"role": "user", "content": [{}]}),
    with_messages({"role": "user", "content": [{"type": "text"}]}),
    with_messages({"role": "user", "content": [{"type": "text", "text": None}]}),
    with_messages({"role": "user", "content": [{"type": "text", "text": 5}]}),
    with_messages({"role": "user", "content": [{"type": None, "text": "hi"}]}),
    with_messages({"role": "user", "content": [{"type": "text", "text": " "}]}),
    with_messages({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}}]}),
    with_messages({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}),
    with_messages({"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}),
    with_messages({"role": "user", "content": [{"type": "file", "file": {"file_id": "../../etc/passwd"}}]}),
    with_messages({"role": "user", "content": [{"type": "x" * 10_000}]}),
    with_messages({"role": "system", "content": None}, USER),
    with_messages({"role": "system"}, USER),
    with_messages({"role": "system", "content": 5}, USER),
    with_messages({"role": "developer", "content": {"a": 1}}, USER),
    with_messages({"role": "user", "content": "hi", "name": 5}),
    with_messages({"role": "assistant", "content": "x", "reasoning": 5}, USER),
    with_messages({"role": "assistant", "content": "x", "reasoning_content": ["y"]}, USER),
    with_messages({"role": "tool", "content": "42"}),
    with_messages({"role": "tool", "content": "42", "tool_call_id": "never"}),
    with_messages({"role": "tool", "content": "42", "tool_call_id": 5}),
    with_messages({"role": "tool", "content": None, "tool_call_id": "a", "name": "x"}),
    with_messages({"role": "function", "content": "42"}),
    with_messages({"role": "user", "content": "hi", "tool_calls": [{"id": "a", "function": {"name": "x", "arguments": ""}}]}),
    json.dumps({"messages": [USER] * 10_001}).encode(),
    with_call("x"),
    with_call({}),
    with_call([None]),
    with_call([{}]),
    with_call([{"id": "a"}]),
    with_call([{"id": None, "function": {"name": "x", "arguments": "{}"}}]),
    with_call([{"id": "a", "function": None}]),
    with_call([{"id": "a", "function": {"name": "x"}}]),
    with_call([{"id": "a", "function": {"name": "x", "arguments": {"a": 1}}}]),
    with_call([{"id": "a", "function": {"name": 1, "arguments": "{}"}}]),
]
"""Bodies whose messages are not messages."""

VALUES: dict[str, list[object]] = {
    "model": [1, True, [], {}, "no-such-model", "../starter", "/etc", "starter\u0000", "x" * 5000, ""],
    "temperature": ["1", [], {}, True, -0.1, 2.1, 1e308, -1e308, "nan"],
    "top_p": ["0.5", -0.01, 1.01, [1], False, 10**40],
    "min_p": ["0", -1, 2, [0]],
    "top_k": ["5", -1, 1.5, 2**31, 10**30, True, [5]],
    "min_tokens_to_keep": [0, -1, "1", 1.5],
    "xtc_probability": [-0.1, 1.1, "1", True],
    "xtc_threshold": [0.51, 1, -0.1, "0.1", 1e300],
    "xtc_special_tokens": [5, "5", [-1], [1.5], ["1"], [2**40], {}],
    "knowledge_cutoff": [5, ["2024"], {}],
    "repetition_penalty": [-1, "1.1", True, [], 1e300],
    "repetition_context_size": [-1, 1.5, "20", 2**63, True],
    "presence_penalty": [-2.1, 2.1, "0", True],
    "frequency_penalty": [-2.1, 2.1, "0", {}],
    "seed": [-2, 1.5, "1", True, 2**63, 10**100],
    "max_tokens": [0, -1, 1.5, "10", True, 2**31, 10**30, [1]],
    "max_completion_tokens": [0, -5, "10", 2**63, {}],
    "logit_bias": [
        [],
        "x",
        5,
        {"a": 1},
        {"-1": 1},
        {"1.5": 1},
        {"": 1},
        {"1": "x"},
        {"1": 101},
        {"1": -101},
        {"1": None},
        {"9" * 30: 1},
        {"²": 1},
    ],
    "stop": [5, True, {}, [5], [None], [["a"]], [""], "", ["a"] * 17, {"a": 1}],
    "n": [0, -1, 2, 1_000_000, 1.5, "1", True, []],
    "logprobs": ["true", 1, 5, [], {}],
    "top_logprobs": [1, -1, 21, "5", True, 2.5],
    "stream": ["true", 1, 0, [], {}],
    "stream_options": [True, [], "x", {"include_usage": "yes"}, {"include_usage": 1}],
    "reasoning_effort": ["", "max", "none", 1, True, ["low"], {}],
    "response_format": [
        "json",
        5,
        {},
        {"type": 5},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {}},
        {"type": "grammar"},
    ],
    "modalities": ["text", ["audio"], ["text", "audio"], [], 5],
    "tool_choice": ["required", "any", "", 5, True, [], {}, {"type": "function", "function": {"name": "x"}}],
    "functions": [[{"name": "x"}], "x", {}],
    "tools": ["x", {}, [None], [[]], [{}], 5, [{"type": "python"}] * 129, [{"type": "python"}, {"type": "python"}]],
}
"""For each field, values it must refuse."""

TOOLS: list[object] = [
    {"type": None},
    {"type": "shell"},
    {"type": "code_interpreter"},
    {"type": "function"},
    {"type": "function", "function": None},
    {"type": "function", "function": "x"},
    {"type": "function", "function": {}},
    {"type": "function", "function": {"name": None}},
    {"type": "function", "function": {"name": 5}},
    {"type": "function", "function": {"name": ""}},
    {"type": "function", "function": {"name": "a b"}},
    {"type": "function", "function": {"name": "functions.x"}},
    {"type": "function", "function": {"name": "<|call|>"}},
    {"type": "function", "function": {"name": "x\n"}},
    {"type": "function", "function": {"name": "é"}},
    {"type": "function", "function": {"name": "x" * 65}},
    {"type": "function", "function": {"name": "x", "description": 5}},
    {"type": "function", "function": {"name": "x", "parameters": "x"}},
    {"type": "function", "function": {"name": "x", "parameters": []}},
    {"type": "function", "function": {"name": "x", "parameters": {"type": "string"}}},
    {"type": "function", "function": {"name": "x", "parameters": {"type": 5}}},
    {"type": "function", "function": {"name": "x", "parameters": {"type": "object", "properties": []}}},
    {"type": "function", "function": {"name": "x", "parameters": {"type": "object", "properties": "x"}}},
]
"""Tools that cannot be offered."""

LONG = json.dumps(
    {
        **OK,
        "tools": [{"type": "python"}],
        "stop": ["a", "b"],
        "temperature": 0.5,
        "logit_bias": {"5": 1},
        "stream": True,
        "user": 'é 👩 \\ " \n',
    }
).encode()

BAD_BODIES: list[bytes] = [
    *(LONG[:end] for end in range(len(LONG))),
    *NOT_JSON,
    *MESSAGES,
    *(with_field(name, value) for name, values in VALUES.items() for value in values),
    *(with_tool(tool) for tool in TOOLS),
]
