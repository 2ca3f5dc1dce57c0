"""Files over HTTP: what the page takes in and gives out, behind the same gate as everything else."""

from pathlib import Path

import httpx
import pytest

from mlx_harmony.conversation.records import TurnOptions
from tests.api.serving import Serving

FILE = {"content-type": "application/octet-stream"}


async def post(server: Serving, path: str, data: bytes, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url) as client:
        return await client.post(path, content=data, headers=FILE | headers)


async def test_a_text_is_taken_in_under_its_own_name_and_waits(server: Serving) -> None:
    answer = await post(server, "/files/attachments?name=..%2Fnotes%20%231.txt&pasted=true", "Grüße".encode())
    told = answer.json()
    [waiting] = await server.service.waiting((told["id"],))
    assert answer.status_code == 200 and told["name"] == waiting.name == "notes #1.txt"
    assert waiting.content == "Grüße" and waiting.pasted


@pytest.mark.parametrize(("data", "why"), [(b"\x00\x01", "is no text"), (b"", "is empty"), (b"a" * 3_000_000, "at most 1 MB")])
async def test_what_cannot_be_attached_is_refused_in_words(server: Serving, data: bytes, why: str) -> None:
    answer = await post(server, "/files/attachments?name=odd.bin", data)
    error = answer.json()["error"]
    assert answer.status_code == 400 and why in error["message"] and error["param"] == "file"


async def test_chats_of_more_than_a_megabyte_come_in(server: Serving, tmp_path: Path) -> None:
    chat = await server.service.create_chat(TurnOptions(instructions="x" * 9_000_000))
    data = await server.service.export_json(chat.summary.id)
    answer = await post(server, "/files/chats", data)
    assert answer.status_code == 200 and len(data) > 8_000_000
    [copy] = answer.json()["imported"]
    assert (await server.service.read_chat(copy)).options.instructions == chat.options.instructions


async def test_a_file_without_chats_changes_nothing(server: Serving) -> None:
    answer = await post(server, "/files/chats", b"{ no chats")
    assert answer.status_code == 400 and "Nothing was imported" in answer.json()["error"]["message"]
    assert await server.service.list_chats() == ()


@pytest.mark.parametrize("path", ["/files/chats", "/files/attachments"])
async def test_other_sites_and_other_kinds_of_bodies_stay_out(server: Serving, path: str) -> None:
    assert (await post(server, path, b"{}", origin="http://evil.example")).status_code == 403
    assert (await post(server, path, b"{}", **{"sec-fetch-site": "cross-site"})).status_code == 403
    assert (await post(server, path, b"{}", host="evil.example")).status_code == 421
    form = await post(server, path, b"{}", **{"content-type": "text/plain"})
    assert form.status_code == 415 and form.json()["error"]["code"] == "unsupported_media_type"
    async with httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.put(path)).status_code == 405 and (await client.post("/files/other")).status_code == 404


async def get(server: Serving, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url) as client:
        return await client.get(path, headers=headers)


async def test_a_chat_is_given_out_under_its_title_as_json_and_as_markdown(server: Serving) -> None:
    chat = await server.service.create_chat(TurnOptions(instructions="Be brief."))
    await server.service.rename_chat(chat.summary.id, 'Größe: "5/6"\u202e.exe')
    plain = await get(server, f"/files/chats?chat={chat.summary.id}")
    assert plain.content == await server.service.export_json(chat.summary.id)
    assert plain.headers["content-disposition"] == "attachment; filename*=UTF-8''Gr%C3%B6%C3%9Fe-5-6-exe.json"
    assert plain.headers["content-type"] == "application/json" and plain.headers["cache-control"] == "no-store"
    read = await get(server, f"/files/chats?chat={chat.summary.id}&kind=markdown")
    assert "Be brief." in read.text and "5-6-exe.md" in read.headers["content-disposition"]
    every = await get(server, "/files/chats")
    assert list(every.json()["chats"]) == [chat.summary.id] and every.headers["content-disposition"].endswith("''chats.json")


@pytest.mark.parametrize(("query", "status"), [("?chat=gone", 404), ("?kind=markdown", 400), ("?kind=../x", 400), ("?chat=%ED%A0%80", 404)])
async def test_what_cannot_be_given_out_is_refused_in_words(server: Serving, query: str, status: int) -> None:
    answer = await get(server, f"/files/chats{query}")
    assert answer.status_code == status and answer.json()["error"]["message"]
    assert "content-disposition" not in answer.headers


async def test_other_sites_get_no_chats(server: Serving) -> None:
    assert (await get(server, "/files/chats", origin="http://evil.example")).status_code == 403
    assert (await get(server, "/files/chats", **{"sec-fetch-site": "cross-site"})).status_code == 403
    assert (await get(server, "/files/chats", host="evil.example")).status_code == 421
