"""Files that are damaged, half written, circular, doubled, huge, later or wrong: a named error or a warning, and the rest imported."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mlx_harmony.conversation.interchange import reading
from mlx_harmony.conversation.interchange.reading import closed, read_document
from mlx_harmony.conversation.records import ImportReport, TurnOptions
from mlx_harmony.errors import InvalidRequest
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from tests.fixtures.provider import ScriptedProvider


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path)), ScriptedProvider())
    yield opened
    await opened.close()


def message(name: str, parent: str | None = None, role: str = "user", /, **more: Any) -> dict[str, Any]:
    stamp = {"unix": 1_700_000_000.0, "iso": "2023-11-14T22:13:20+00:00"}
    return {"id": name, "parent_id": parent, "cache_key": name, "role": role, "content": f"text of {name}", "timestamp": stamp, **more}


def file(*chats: tuple[str, list[Any]], **metadata: Any) -> dict[str, Any]:
    stored = {
        name: {"chat_id": name, "metadata": {"chat_id": name, "updated_at": "2023-11-14T22:13:21+00:00", **metadata}, "messages": messages}
        for name, messages in chats
    }
    return {"schema_version": 2, "chat_order": list(stored), "active_chat_id": None, "chats": stored}


LINE = [message("u1"), message("a1", "u1", "assistant", analysis="hm"), message("u2", "a1")]


async def brought(service: Service, document: Any) -> ImportReport:
    return await service.import_chats(document if isinstance(document, bytes) else json.dumps(document).encode())


async def texts(service: Service, chat_id: str) -> list[str]:
    return [each.content for each in (await service.read_chat(chat_id)).messages]


async def test_a_file_of_version_2_is_read_with_all_it_says(service: Service) -> None:
    tool = message("t", "a1", "tool", name="python", recipient="assistant", channel="commentary")
    document = file(
        ("c", [*LINE[:2], tool, message("a2", "t", "assistant", hyperparameters={"temperature": 0.2})]),
        model_path="~/models/old",
        last_model_path="starter",
        prompt_config={"reasoning_effort": "HIGH", "developer_instructions": "Be brief.", "system_model_identity": "You are Ada."},
        hyperparameters={"temperature": 0.7, "top_k": 40.0, "max_tokens": 500, "loop_detection": "cheap"},
        tools=["python", "unheard_of"],
        created_at="2023-11-14T22:00:00+00:00",
    )
    report = await brought(service, document)
    chat = await service.read_chat("c")
    assert report.imported == ("c",) and report.warnings == ("text of u1: not used: the tool unheard_of.",)
    assert (chat.summary.title, chat.summary.created_at) == ("text of u1", 1_699_999_200.0)
    options = chat.options
    assert (options.model, options.effort, options.instructions, options.identity) == ("starter", "high", "Be brief.", "You are Ada.")
    assert (options.sampling.temperature, options.sampling.top_k, options.max_tokens) == (0.7, 40, 500)
    _, answer, result, last = chat.messages
    assert answer.reasoning == "hm" and answer.provenance and answer.provenance.sampling.temperature == 0.7
    assert result.name == "python" and last.provenance and last.provenance.sampling.temperature == 0.2


async def test_a_file_of_version_1_is_read(service: Service) -> None:
    document = {
        "metadata": {
            "model": "nowhere/model",
            "prompt_config": "configs/x.json",
            "hyperparameters": {"seed": 7},
            "created_at": "2024-05-01T10:00:00",
        },
        "messages": [
            {"role": "user", "content": "Hello", "timestamp": "2024-05-01T10:00:01"},
            {"role": "assistant", "content": "Hi", "timestamp": "2024-05-01 10:00:02"},
        ],
    }
    report = await brought(service, document)
    (chat_id,) = report.imported
    chat = await service.read_chat(chat_id)
    assert [each.content for each in chat.messages] == ["Hello", "Hi"] and chat.options.sampling.seed == 7
    assert chat.options.model is None and "nowhere/model is not on this machine" in report.warnings[0]
    assert chat.messages[1].provenance and chat.messages[1].provenance.model == "nowhere/model"
    assert chat.messages[1].created_at - chat.messages[0].created_at == 1.0 and chat.summary.updated_at == chat.messages[1].created_at


@pytest.mark.parametrize(
    ("messages", "expected", "warning"),
    [
        ([message("a", "c"), message("b", "a"), message("c", "b")], ["a", "b", "c"], "in a circle"),
        ([message("a", "a")], ["a"], "not there"),
        ([message("a"), message("b", "gone"), message("c", "b")], ["a", "b", "c"], "not there"),
        ([message("a"), message("b", "a"), message("b", "b"), message("c", "b")], ["a", "b", "b", "c"], "share one id"),
        ([message("a"), message("b", "a", "robot"), message("c", "b")], ["a", "c"], "without a role or text"),
        ([message("a"), message("b", "a", content=7), 3, None, message("c", "a")], ["a", "c"], "left out"),
        ([message("<script>"), message("b", "<script>")], ["<script>", "b"], ""),
        ([message("a", content=[{"type": "text", "text": "text of "}, {"text": "a"}])], ["a"], ""),
        ([message("b", "a"), message("a")], ["a", "b"], ""),
    ],
)
async def test_messages_that_hang_wrong_are_mended(service: Service, messages: list[Any], expected: list[str], warning: str) -> None:
    report = await brought(service, file(("c", messages)))
    assert await texts(service, "c") == [f"text of {name}" for name in expected]
    assert bool(report.warnings) is bool(warning) and (not warning or any(warning in said for said in report.warnings))


async def test_of_equal_chat_ids_each_chat_stays(service: Service) -> None:
    whole = json.dumps(file(("c", LINE)))
    doubled = whole.replace('"chats": {', '"chats": {' + json.dumps({"c": {"chat_id": "c", "messages": [message("other")]}})[1:-1] + ", ")
    report = await brought(service, doubled.encode())
    assert len(report.imported) == 2 and any("another chat of the file has its id" in said for said in report.warnings)
    assert sorted([len(await texts(service, chat_id)) for chat_id in report.imported]) == [1, 3]


async def test_nothing_that_is_here_is_overwritten(service: Service) -> None:
    await brought(service, file(("c", LINE)))
    before = await service.read_chat("c")
    report = await brought(service, file(("c", [message("u1", content="EVIL")]), ("d", [message("u2"), message("new")])))
    assert await service.read_chat("c") == before and len(report.imported) == 2 and len(await service.list_chats()) == 3


async def test_a_file_cut_off_anywhere_gives_what_was_whole_or_a_named_error(service: Service) -> None:
    data = json.dumps(file(("c", LINE), ("d", [message("x", content='tricky "{[ \\" text')]))).encode()
    for cut in range(0, len(data), 23):
        try:
            report = await brought(service, data[:cut])
        except InvalidRequest as error:
            assert error.param == "file" and error.hint
        else:
            assert any("damaged or cut off" in said for said in report.warnings)
    assert max([len(await texts(service, chat.id)) for chat in await service.list_chats()]) == 3


async def test_damage_in_the_middle_leaves_what_stands_before(service: Service) -> None:
    data = bytearray(json.dumps(file(("c", LINE), ("d", LINE), ("e", LINE))).encode())
    at = data.index(b'"e": {')
    data[at : at + 6] = b"\x00\x01}}]]"
    report = await brought(service, bytes(data))
    assert len(report.imported) == 2 and "damaged" in report.warnings[0]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "no JSON"),
        (b"\x89PNG\r\n", "no JSON"),
        (b"[" * 100_000, "no"),
        ([], "holds no object"),
        ("text", "holds no object"),
        ({}, "no list of messages"),
        ({"schema_version": 3, "chats": {}}, "version 3"),
        ({"schema_version": 99}, "version 99"),
        ({"schema_version": True, "chats": {}}, "schema_version"),
        ({"schema_version": "2", "chats": {}}, "schema_version"),
        ({"schema_version": 2, "chats": []}, "no object"),
        ({"schema_version": 2, "chats": {"a": 5}}, "no chat that could be read"),
        ({"schema_version": 1, "messages": {}}, "no list of messages"),
    ],
)
async def test_what_is_no_conversation_file_is_refused_by_name(service: Service, document: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        await brought(service, document)
    assert caught.value.param == "file" and caught.value.hint and await service.list_chats() == ()


async def test_a_file_beyond_the_limit_is_refused_before_it_is_read(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = tmp_path / "huge.json"
    with huge.open("wb") as out:
        out.truncate(100 * 1024 * 1024)
    began = time.perf_counter()
    with pytest.raises(InvalidRequest, match="100 MB; at most 64 MB"):
        await service.import_chats(huge)
    assert time.perf_counter() - began < 0.5
    monkeypatch.setattr(reading, "LARGEST_BYTES", 10)
    with pytest.raises(InvalidRequest, match="at most"):
        await service.import_chats(b"x" * 11)
    with pytest.raises(InvalidRequest, match="could not be read"):
        await service.import_chats(tmp_path / "absent.json")


async def test_values_of_wrong_types_are_left_out_and_the_rest_stays(service: Service) -> None:
    document = file(
        ("c", [message("a", timestamp="nonsense"), message("b", "a", timestamp={"unix": 1e300}), message("d", "b", timestamp=-1)]),
        hyperparameters={"temperature": 9, "top_p": "much", "seed": 5},
        last_model_path=7,
        tools="python",
        created_at=[],
        prompt_config=3,
    )
    document["chats"]["e"] = {"metadata": [], "messages": [message("z") | {"role": ["user"]}]}
    report = await brought(service, document)
    chat = await service.read_chat("c")
    assert chat.options == TurnOptions(sampling=chat.options.sampling) and chat.options.sampling.seed == 5
    assert "not used: temperature, top_p" in report.warnings[0] and len(chat.messages) == 3


@pytest.mark.parametrize("stamp", ["2001-01-01T00:00:00", 5, "2999-01-01T00:00:00"])
async def test_a_stale_or_future_time_is_mended(service: Service, stamp: Any) -> None:
    report = await brought(service, file(("c", LINE), updated_at=stamp))
    assert (await service.read_chat("c")).summary.updated_at == 1_700_000_000.0
    assert any("updated_at" in said for said in report.warnings) is (stamp != "2999-01-01T00:00:00")


OWN = (
    {"state": "streaming"},
    {"state": "no such"},
    {"thinking_ms": float("inf")},
    {"lanes": [{"channel": "final"}]},
    {"versions": ["x"], "chat_id": "other", "role": "system"},
    {"usage": {"prompt_tokens": 10**30, "completion_tokens": 1}},
    {"tool_calls": "x", "error": 5},
    {"position": "1"},
    {"timings": None, "repaired": "\ud800"},
)


@pytest.mark.parametrize("own", OWN, ids=str)
async def test_own_fields_that_make_no_sense_spoil_nothing(service: Service, own: dict[str, Any]) -> None:
    await brought(service, file(("c", [message("a"), message("b", "a", "assistant", mlx_harmony=own)]), mlx_harmony={"options": own}))
    chat = await service.read_chat("c")
    assert [(each.role, each.content) for each in chat.messages] == [("user", "text of a"), ("assistant", "text of b")]
    assert chat.messages[1].state in ("complete", "interrupted") and chat.messages[1].versions == ("b",)


async def test_half_characters_and_options_out_of_range_do_not_reach_the_store(service: Service) -> None:
    document = json.dumps(file(("c", [message("a", content="x")]), mlx_harmony={"title": "T", "options": {"sampling": {"temperature": 7}}}))
    await brought(service, document.replace('"x"', '"\\ud83d and \\ud83d\\ude00"').encode())
    chat = await service.read_chat("c")
    assert chat.messages[0].content == "\ufffd and 😀" and chat.options.sampling.temperature == 1.0 and chat.summary.title == "T"


def test_damaged_json_is_closed_after_the_last_whole_piece() -> None:
    assert closed('{"a": [{"b": "}"}, {"c": "') == '{"a": [{"b": "}"}]}'
    assert closed('{"a": [1, 2], "b": {"c"') == '{"a": [1, 2]}'
    assert closed('{"a": "x\\') == closed("") == closed("nonsense") == closed("}{") == ""


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
async def test_a_file_is_read_in_whatever_unicode_it_was_written(service: Service, encoding: str) -> None:
    report = await brought(service, json.dumps(file(("c", LINE)), ensure_ascii=False).encode(encoding))
    assert report.imported == ("c",) and report.warnings == ()


@pytest.mark.parametrize(
    "mixed",
    [
        {"schema_version": 2, "chats": [{"chat_id": "a", "messages": LINE}, {"chat_id": "b", "messages": [message("z")]}]},
        {"schema_version": 1, "chats": file(("a", LINE))["chats"], "messages": [{"role": "user", "content": "text of z"}]},
        {"schema_version": 2, "chats": {}, "messages": LINE, "metadata": {"model": "x", "created_at": "2024-05-01T10:00:00"}},
        {"chats": {"a": {"metadata": {"model": "starter"}, "messages": [{"role": "user", "content": "text of z", "timestamp": "2024"}]}}},
    ],
)
async def test_files_that_mix_the_versions_are_read(service: Service, mixed: dict[str, Any]) -> None:
    report = await brought(service, mixed)
    wanted = len(mixed["chats"]) + ("messages" in mixed)
    assert len(report.imported) == wanted


async def test_numbers_longer_than_any_field_cost_neither_the_file_nor_time(service: Service) -> None:
    data = json.dumps(file(("c", LINE), hyperparameters={"seed": 11, "top_k": 22})).replace("11", "9" * 5000).replace("22", "9" * 40)
    report = await brought(service, data.encode())
    assert report.imported == ("c",) and "not used: top_k" in report.warnings[0]


def test_reading_takes_no_more_than_in_proportion_to_the_file() -> None:
    def seconds(data: bytes) -> float:
        began = time.thread_time()
        read_document(data)
        return time.thread_time() - began

    def doubled(number: int) -> bytes:
        return b'{"chats": {' + b", ".join([b'"c": {}'] * number) + b"}}"

    assert len(read_document(doubled(50)).chats) == 50
    assert seconds(doubled(100_000)) < 60 * max(seconds(doubled(10_000)), 0.01)


async def test_a_file_of_thousands_of_chats_is_brought_in_at_once(service: Service) -> None:
    began = time.perf_counter()
    report = await brought(service, {"schema_version": 2, "chats": {f"c{at % 2000}": {"messages": []} for at in range(2000)}})
    assert len(report.imported) == 2000 and time.perf_counter() - began < 60


async def test_the_prompt_config_that_a_chat_was_made_with_is_kept_as_far_as_it_can_be_used(service: Service) -> None:
    config = {
        "knowledge_cutoff": "2025-01",
        "conversation_start_date": "2024-02-03",
        "placeholders": {"name": "Ada \ud800"},
        "example_dialogues": [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]],
        "max_context_tokens": -5,
        "developer_instructions": "You serve {name}.",
        "unheard_of": 1,
    }
    document = file(("c", LINE), prompt_config=config, max_context_tokens=900, prompt_config_path="configs/old.json")
    report = await brought(service, document)
    setup = (await service.read_chat("c")).options.setup
    assert setup and (setup.knowledge_cutoff, setup.start_date, setup.max_context_tokens) == ("2025-01", "2024-02-03", 900)
    assert setup.placeholders == {"name": "Ada \ufffd"} and setup.prompt_config == "configs/old.json"
    assert [message.content for message in setup.examples[0]] == ["Hi", "Yes?"]
    assert "not used: max_context_tokens" in report.warnings[0]
    await brought(service, file(("d", [message("z")]), prompt_config={"reasoning_effort": "high"}))
    assert (await service.read_chat("d")).options.setup is None


async def test_the_same_file_brought_in_by_several_windows_at_once_comes_in_as_often(service: Service) -> None:
    data = json.dumps(file(("c", LINE), ("d", [message("x")]))).encode()
    reports = await asyncio.gather(*(service.import_chats(data) for _ in range(6)))
    ids = [chat_id for report in reports for chat_id in report.imported]
    assert len(set(ids)) == 12 == len(await service.list_chats())
    assert sorted([len(await texts(service, chat_id)) for chat_id in ids]) == [1] * 6 + [3] * 6
