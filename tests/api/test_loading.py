"""Loading over HTTP: load, unload, pin, use and forecast; what is refused is refused in OpenAI's envelope."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlx_harmony.engine.protocols import ModelState
from mlx_harmony.errors import LoadFailed, OutOfMemory
from mlx_harmony.records import ModelCard, ModelEntry
from mlx_harmony.settings import load_settings
from tests.api.serving import Options, Serving, eventually, serving
from tests.fixtures.adapters import build_adapter
from tests.fixtures.provider import ScriptedProvider


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, fx1: Path) -> Path:
    """Two models, an adapter for one, one with wrong shapes, and one whose base is elsewhere."""
    folder = tmp_path_factory.mktemp("mine")
    for name in ("one", "two"):
        shutil.copytree(fx1, folder / name)
    build_adapter(folder / "manners", str(folder / "one"))
    build_adapter(folder / "misfit", str(folder / "one"), width=48)
    build_adapter(folder / "orphan", "nobody/nothing")
    return folder


@pytest.fixture
async def server(tmp_path: Path, folder: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path, Options(models_dirs=(str(folder),))) as running:
        yield running


async def post(server: Serving, action: str, **body: object) -> httpx.Response:
    async with httpx.AsyncClient(timeout=60) as client:
        return await client.post(f"{server.url}/v1/models/{action}", json=body)


async def get(server: Serving, path: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=60) as client:
        return await client.get(f"{server.url}/v1{path}")


def error(response: httpx.Response) -> dict[str, Any]:
    told: dict[str, Any] = response.json()["error"]
    return told


async def test_a_model_is_loaded_and_unloaded(server: Serving) -> None:
    loaded = await post(server, "load", model="one")
    assert (loaded.status_code, loaded.json()["id"], loaded.json()["phase"]) == (200, "one", "awake")
    unloaded = await post(server, "unload", model="one")
    assert (unloaded.status_code, unloaded.json()["phase"]) == (200, "asleep")
    assert (await post(server, "unload", model="two")).json()["phase"] == "asleep"


class SlowProvider(ScriptedProvider):
    """Needs a while, and has no room for the model two."""

    async def load(self, entry: ModelEntry, *, force: bool = False) -> ModelCard:
        if entry.id == "two" and not force:
            raise OutOfMemory("There is no room.", hint="Unload one.")
        self.standing = (ModelState(id=entry.id, phase="loading", fraction=0.4),)
        try:
            await asyncio.sleep(0.3 if entry.id == "one" else 60)
            if force:
                raise LoadFailed("Its weights are damaged.", hint="Get it again.")
        finally:
            self.standing = ()
        return await super().load(entry)


@pytest.fixture
async def slow(server: Serving) -> Serving:
    server.service._provider = SlowProvider()
    return server


async def test_a_load_may_tell_how_far_it_is(slow: Serving) -> None:
    answer = await post(slow, "load", model="one", stream=True)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[0] == {"step": "loading", "fraction": 0.4}
    assert (lines[-1]["step"], lines[-1]["id"], lines[-1]["phase"]) == ("done", "one", "awake")
    refused = await post(slow, "load", model="two", stream=True)
    assert (refused.status_code, error(refused)["message"]) == (500, "There is no room. Unload one.")
    failed = await post(slow, "load", model="one", force=True, stream=True)
    last = {"step": "failed", "code": "load_failed", "message": "Its weights are damaged.", "hint": "Get it again.", "param": None}
    assert (failed.status_code, json.loads(failed.text.splitlines()[-1])) == (200, last)


async def test_whoever_hangs_up_while_it_is_told_gives_the_load_up(slow: Serving) -> None:
    async with httpx.AsyncClient() as client:
        body = {"model": "two", "force": True, "stream": True}
        async with client.stream("POST", f"{slow.url}/v1/models/load", json=body) as answer:
            await anext(answer.aiter_lines())
            assert slow.service.model_states()
    await eventually(lambda: not slow.service.model_states())


async def test_a_pin_acts_at_once_and_is_kept(server: Serving, tmp_path: Path) -> None:
    assert (await post(server, "pin", model="one")).json()["pinned"] is True
    assert server.service._provider.limits.pinned == {"one"}  # type: ignore[attr-defined]
    await post(server, "pin", model="two")
    assert load_settings(home=tmp_path).pinned_models == ("one", "two")
    assert (await post(server, "pin", model="one", pinned=False)).json()["pinned"] is False
    assert server.service.settings.pinned_models == ("two",)


async def test_the_default_model_can_be_chosen(server: Serving, tmp_path: Path) -> None:
    assert (await post(server, "use", model="two")).status_code == 200
    assert server.service.find_model(None).id == "two" and load_settings(home=tmp_path).model == "two"


async def test_a_forecast_tells_what_a_context_costs(server: Serving) -> None:
    whole, short = (await get(server, "/models/one/forecast")).json(), (await get(server, "/models/one/forecast?context=100")).json()
    assert whole["id"] == "one" and whole["forecast"]["context"] == 8192 and short["forecast"]["context"] == 100
    assert short["total"] < whole["total"] == sum(whole["forecast"][part] for part in ("weights", "kv", "working"))
    assert whole["verdict"] in ("fits", "tight", "too large") and whole["least"] > 0
    assert (whole["would_unload"], whole["refusal"]) == ([], "")


async def test_a_context_that_is_none_is_refused(server: Serving) -> None:
    for context in ("0", "-1", "x", "1e3", "9" * 30, ""):
        response = await get(server, f"/models/one/forecast?context={context}")
        assert (response.status_code, error(response)["param"]) == (400, "context")


async def test_unknown_models_and_paths_are_not_found(server: Serving, folder: Path) -> None:
    for action in ("load", "unload", "pin", "use"):
        for model in ("nothing", "", "/etc", "../../etc", "one/../two", str(folder / "one")):
            response = await post(server, action, model=model)
            assert (response.status_code, error(response)["code"], error(response)["param"]) == (404, "model_not_found", "model")
    assert server.service.settings.pinned_models == () and server.service.model_states() == ()


async def test_bodies_of_other_types_are_refused_by_name(server: Serving) -> None:
    bodies: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("load", {}, "model"),
        ("load", {"model": 3}, "model"),
        ("load", {"model": "one", "force": "yes"}, "force"),
        ("pin", {"model": "one", "pinned": 1}, "pinned"),
    )
    for action, body, param in bodies:
        response = await post(server, action, **body)
        assert (response.status_code, error(response)["param"]) == (400, param)


async def test_without_the_key_nothing_is_loaded(tmp_path: Path) -> None:
    async with serving(tmp_path, Options(key_hashes=("0" * 64,))) as server:
        for action in ("load", "unload", "pin", "use"):
            assert (await post(server, action, model="starter")).status_code == 401
        assert (await get(server, "/models/starter/forecast")).status_code == 401


async def test_a_request_is_answered_by_the_adapter_it_names(server: Serving, folder: Path) -> None:
    messages = [{"role": "user", "content": "hi"}]
    for fields in ({"adapter": "manners"}, {"model": "one", "adapters": str(folder / "manners")}, {"model": "manners"}):
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.post(f"{server.url}/v1/chat/completions", json={"messages": messages, **fields})
        assert (answer.status_code, answer.json()["model"]) == (200, "manners")


async def test_an_adapter_that_is_not_for_this_is_refused(server: Serving) -> None:
    wrong: tuple[tuple[dict[str, Any], int], ...] = (
        ({"adapter": "nothing"}, 404),
        ({"adapter": "/etc"}, 404),
        ({"adapters": "../../etc"}, 404),
        ({"adapter": "manners", "model": "two"}, 400),
        ({"adapter": "manners", "adapters": "misfit"}, 400),
        ({"adapter": 3}, 400),
    )
    async with httpx.AsyncClient(timeout=60) as client:
        for fields, status in wrong:
            body = {"messages": [{"role": "user", "content": "hi"}], **fields}
            answer = await client.post(f"{server.url}/v1/chat/completions", json=body)
            assert (answer.status_code, error(answer)["param"]) == (status, next(iter(fields)).removesuffix("s"))


@pytest.mark.integration
async def test_real_models_are_switched_by_name_and_adapters_change_only_their_own_answers(tmp_path: Path, folder: Path) -> None:
    """R145, R146, R147: one process a model; the base answers as before; wrong shapes are refused with a 4xx."""
    async with serving(tmp_path, Options(real=True, models_dirs=(str(folder),))) as server, httpx.AsyncClient(timeout=120) as client:

        async def answer(model: str) -> httpx.Response:
            body = {"model": model, "messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 12, "temperature": 0}
            return await client.post(f"{server.url}/v1/chat/completions", json=body)

        def awake() -> set[str]:
            return {state.id for state in server.service.model_states() if state.phase == "awake"}

        texts = [(await answer(model)).json()["choices"][0]["message"] for model in ("one", "manners", "one", "manners")]
        assert texts[0] == texts[2] and texts[1] == texts[3] != texts[0]
        states = {state.id: state for state in server.service.model_states()}
        assert len({state.pid for state in states.values()}) == 2 and all(state.memory_bytes > 50 * 10**6 for state in states.values())
        assert len({state.card.fingerprint for state in states.values() if state.card}) == 2
        misfit = await answer("misfit")
        assert misfit.status_code == 400 and error(misfit)["code"] == "adapter_mismatch" and "lora_a" in error(misfit)["message"]
        assert (await answer("orphan")).status_code == 500
        assert await eventually(lambda: awake() == {"one", "manners"})
        assert (await client.post(f"{server.url}/v1/models/unload", json={"model": "manners"})).json()["phase"] == "asleep"
        assert (await answer("one")).json()["choices"][0]["message"] == texts[0]
        assert set(json.loads((tmp_path / "peaks.json").read_text())) and (await get(server, "/models/one/forecast")).json()["free"] > 0


@pytest.mark.integration
async def test_who_hangs_up_while_a_model_loads_gives_the_load_up(tmp_path: Path, folder: Path) -> None:
    async with serving(tmp_path, Options(real=True, models_dirs=(str(folder),))) as server:
        with pytest.raises(httpx.ReadTimeout):
            async with httpx.AsyncClient(timeout=0.3) as client:
                await client.post(f"{server.url}/v1/models/load", json={"model": "one"})
        assert await eventually(lambda: [state.phase for state in server.service.model_states()] == ["asleep"])
