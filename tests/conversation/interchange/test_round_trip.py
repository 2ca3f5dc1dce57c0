"""What is exported comes back equal: every version, every figure, what is shown; and what people read is readable."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from mlx_harmony.conversation.interchange.markdown import as_markdown
from mlx_harmony.conversation.records import Chat, ChatMessage, ChatSummary, TurnOptions
from mlx_harmony.errors import ChatNotFound
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.records import Message, Sampling, Tool
from mlx_harmony.service import Service
from mlx_harmony.settings import Settings
from tests.fixtures.provider import ScriptedProvider

OPTIONS = TurnOptions(
    model="starter",
    sampling=Sampling(temperature=0.3, top_k=7, logit_bias={5: 1.5}, repetition_penalty=1.1),
    max_tokens=99,
    stop=("END",),
    effort="high",
    identity="You are Ada.",
    instructions="Be brief.",
    tools=(Tool(kind="python"), Tool(kind="function", name="f", parameters={"type": "object"})),
)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path / "here")), ScriptedProvider())
    yield opened
    await opened.close()


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[Service]:
    opened = await Service.open(Settings(home=str(tmp_path / "there")), ScriptedProvider())
    yield opened
    await opened.close()


async def turn(service: Service, chat_id: str, text: str) -> None:
    async with aclosing(service.send(chat_id, text, OPTIONS)) as events:
        async for _ in events:
            pass


async def branched(service: Service) -> str:
    """A chat with versions at two depths, an old one shown."""
    chat_id = (await service.create_chat(OPTIONS)).summary.id
    await turn(service, chat_id, "one — 東京 🎉")
    await turn(service, chat_id, "two")
    first, answer, *_ = (await service.read_chat(chat_id)).messages
    for stream in (service.regenerate(chat_id, answer.id, OPTIONS), service.edit(chat_id, first.id, "uno", TurnOptions())):
        async with aclosing(stream) as events:
            async for _ in events:
                pass
    await turn(service, chat_id, "due")
    await service.show_version(chat_id, answer.id)
    return chat_id


async def everything(service: Service, chat_id: str) -> list[Chat]:
    """The chat as each of its versions shows it."""
    shown = await service.read_chat(chat_id)
    seen, waiting = {message.id for message in shown.messages}, [v for message in shown.messages for v in message.versions]
    chats = [shown]
    while waiting:
        version = waiting.pop()
        if version not in seen:
            chats.append(await service.show_version(chat_id, version))
            seen |= {message.id for message in chats[-1].messages}
            waiting += [v for message in chats[-1].messages for v in message.versions]
    return chats


async def test_a_chat_comes_back_equal_with_every_version(service: Service, elsewhere: Service) -> None:
    chat_id = await branched(service)
    exported = await service.export_json(chat_id)
    report = await elsewhere.import_chats(exported)
    assert report.imported == (chat_id,) and report.warnings == ()
    assert await elsewhere.export_json(chat_id) == exported
    assert await everything(elsewhere, chat_id) == await everything(service, chat_id)
    assert (await elsewhere.search("東京"))[0].chat_id == chat_id


async def test_all_chats_are_exported_and_deleted_ones_are_not(service: Service, elsewhere: Service, tmp_path: Path) -> None:
    first, second = await branched(service), await branched(service)
    gone = await branched(service)
    await service.delete_chat(gone)
    file = tmp_path / "chats.json"
    file.write_bytes(await service.export_json())
    report = await elsewhere.import_chats(file)
    assert set(report.imported) == {first, second}
    assert [each.id for each in await elsewhere.list_chats()] == [each.id for each in await service.list_chats()]
    with pytest.raises(ChatNotFound):
        await service.export_json(gone)


async def test_a_chat_that_is_here_is_imported_as_a_copy(service: Service) -> None:
    chat_id = await branched(service)
    before = await everything(service, chat_id)
    await service.show_version(chat_id, before[0].messages[-1].id)
    report = await service.import_chats(await service.export_json())
    (copy,) = report.imported
    assert copy != chat_id and "imported as a copy" in report.warnings[0]
    assert (await service.read_chat(chat_id)).messages == before[0].messages
    texts = [message.content for message in (await service.read_chat(copy)).messages]
    assert texts == [message.content for message in before[0].messages]
    assert len(await everything(service, copy)) == len(before)


async def test_a_copy_knows_which_of_its_own_messages_the_model_saw(service: Service, elsewhere: Service) -> None:
    chat_id = (await elsewhere.create_chat(OPTIONS)).summary.id
    await turn(elsewhere, chat_id, "one")
    await turn(elsewhere, chat_id, "two")
    document = json.loads(await elsewhere.export_json(chat_id))
    messages = document["chats"][chat_id]["messages"]
    messages[-1]["mlx_harmony"]["seen_from"] = messages[2]["id"]
    for copies in (False, True):
        (imported,) = (await service.import_chats(json.dumps(document).encode())).imported
        kept = (await service.read_chat(imported)).messages
        assert (imported != chat_id) == copies and kept[-1].seen_from == kept[2].id


async def test_the_file_has_the_fields_that_earlier_releases_know(service: Service) -> None:
    chat_id = await branched(service)
    document = json.loads(await service.export_json(chat_id))
    assert (document["schema_version"], document["chat_order"], document["active_chat_id"]) == (2, [chat_id], chat_id)
    chat = document["chats"][chat_id]
    assert chat["chat_id"] == chat["metadata"]["chat_id"] == chat_id
    metadata = chat["metadata"]
    assert metadata["model_path"] == metadata["last_model_path"] == "starter" and metadata["tools"] == ["python", "f"]
    assert metadata["hyperparameters"]["temperature"] == 0.3 and metadata["hyperparameters"]["max_tokens"] == 99
    assert metadata["prompt_config"]["developer_instructions"] == "Be brief."
    assert set(metadata) >= {
        "last_prompt_config",
        "last_hyperparameters",
        "max_context_tokens",
        "created_at",
        "updated_at",
        "prompt_config_path",
    }
    shown = await service.read_chat(chat_id)
    last = chat["messages"][-1]
    assert last["id"] == shown.messages[-1].id and last["parent_id"] == shown.messages[-2].id
    assert last["analysis"] == "They said something." and last["cache_key"] and set(last["timestamp"]) == {"unix", "iso"}
    changes = [message["hyperparameters"] for message in chat["messages"] if "hyperparameters" in message]
    assert 1 <= len(changes) < sum(message["role"] == "assistant" for message in chat["messages"])
    seen: set[str | None] = {None}
    for message in chat["messages"]:
        assert message["parent_id"] in seen
        seen.add(message["id"])


async def test_attachments_come_back_and_earlier_releases_read_them_in_the_text(service: Service, elsewhere: Service) -> None:
    chat_id = (await service.create_chat(OPTIONS)).summary.id
    notes = await service.attach("notes <1>.txt", "Grüße\n```\nfenced".encode("utf-16"))
    async with aclosing(service.send(chat_id, "Read this", OPTIONS, (notes.id,))) as events:
        async for _ in events:
            pass
    data = await service.export_json(chat_id)
    first = json.loads(data)["chats"][chat_id]["messages"][0]
    assert first["content"] == "Attached file: notes <1>.txt\n````\nGrüße\n```\nfenced\n````\n\nRead this"
    copied = await elsewhere.import_chats(data)
    [question, *_] = (await elsewhere.read_chat(copied.imported[0])).messages
    [kept] = question.attachments
    assert question.content == "Read this" and copied.warnings == ()
    assert (kept.name, kept.content, kept.encoding, kept.bytes) == (notes.name, notes.content, "utf-16", notes.bytes)
    text = await service.export_markdown(chat_id)
    assert "<details><summary>notes &lt;1&gt;.txt</summary>\n\n````\nGrüße\n```\nfenced\n````\n\n</details>" in text


async def test_attachments_that_do_not_match_their_text_stay_part_of_it(service: Service, elsewhere: Service) -> None:
    chat_id = (await service.create_chat(OPTIONS)).summary.id
    notes = await service.attach("notes.txt", b"The zebra sleeps.")
    async with aclosing(service.send(chat_id, "Read this", OPTIONS, (notes.id,))) as events:
        async for _ in events:
            pass
    data = (await service.export_json(chat_id)).decode().replace("Attached file: notes.txt", "Attached file: ../notes.txt")
    report = await elsewhere.import_chats(data.encode())
    [question, *_] = (await elsewhere.read_chat(report.imported[0])).messages
    assert question.attachments == () and "The zebra sleeps." in question.content and "../notes.txt" in question.content
    assert any("stay part of it" in warning for warning in report.warnings)


async def test_markdown_reads_well(service: Service) -> None:
    chat_id = await branched(service)
    text = await service.export_markdown(chat_id)
    assert text.startswith("# one — 東京 🎉\n") and "> Instructions: Be brief." in text
    assert "## You\n\none — 東京 🎉\n" in text and "## Assistant (starter)" in text
    assert "<details><summary>Thinking</summary>\n\n> They said something.\n\n</details>\n\nYou said: one" in text


def test_markdown_closes_what_a_cut_answer_left_open() -> None:
    def say(content: str, **more: object) -> ChatMessage:
        return ChatMessage(id="a", chat_id="c", role="assistant", content=content, created_at=0.0, **more)  # type: ignore[arg-type]

    summary = ChatSummary(id="c", title="T", created_at=0.0, updated_at=0.0)
    chat = Chat(
        summary=summary,
        messages=(
            say("```python\nprint(1)", state="length"),
            ChatMessage(id="t", chat_id="c", role="tool", name="python", content="a ``` b", created_at=0.0),
        ),
    )
    text = as_markdown(chat)
    assert "```python\nprint(1)\n```\n\n*The length limit ended this answer.*" in text
    assert "## Tool (python)\n\n````\na ``` b\n````" in text


async def test_how_a_chat_was_set_up_goes_out_in_the_fields_of_version_2_too(service: Service) -> None:
    setup = ChatSetup(
        greeting="Hello {name}!",
        knowledge_cutoff="2025-01",
        start_date="2024-02-03",
        placeholders={"name": "Ada"},
        examples=((Message(role="user", content="Hi"), Message(role="assistant", content="Yes?")),),
    )
    chat_id = (await service.create_chat(TurnOptions(setup=setup))).summary.id
    document = json.loads(await service.export_json(chat_id))
    del document["chats"][chat_id]["metadata"]["mlx_harmony"]
    (copy,) = (await service.import_chats(json.dumps(document).encode())).imported
    assert (await service.read_chat(copy)).options.setup == setup
