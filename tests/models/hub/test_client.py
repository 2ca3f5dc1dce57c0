"""Asking the hub: searching, one model, and everything that can stand in the way. Nothing is believed that does not make sense."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlx_harmony.errors import HubRefused, InvalidRequest, LoadFailed, ModelNotFound, SettingsError, Unavailable
from mlx_harmony.models.hub.client import Hub
from mlx_harmony.models.hub.fit import fit_of, fit_of_found, fit_of_offer
from mlx_harmony.models.hub.names import checked_file, checked_id, checked_revision
from mlx_harmony.models.hub.needed import needed
from mlx_harmony.models.hub.refusals import Asked
from mlx_harmony.models.hub.web import Dropped, Patience, Web
from tests.fixtures.hub_server import TOKEN, HubServer, Trouble
from tests.models.hub.conftest import QUICK, hub_of, subject

MLX = {"tags": ["mlx", "license:apache-2.0", "4-bit"], "library_name": "mlx"}


@pytest.mark.parametrize("model_id", ["org/name", "gpt2", "mlx-community/Qwen3-0.6B-4bit", "_a/b_", "  org/name \n"])
def test_an_id_is_taken(model_id: str) -> None:
    assert checked_id(model_id) == model_id.strip()


NO_IDS = ["", "/", "../x", "org/../x", "org/..", "/etc/passwd", "org/name/more", "C:\\x", "org\\name", "org/na--me", "a..b/c", ".hidden/x"]
NO_IDS += ["org/x.", "org/name?x=1", "org/name#x", "org/na me", "org/name\0", "org/name\nx", "org/%2e%2e", "org/nаme", "ｏrg/name"]
NO_IDS += ["org/na\u200bme", "x.git", "o" * 200, "org/" + "n" * 97, "-org/name", "http://evil.example/x"]


@pytest.mark.parametrize("model_id", NO_IDS)
def test_an_id_that_is_none_is_refused_before_anything_is_asked(model_id: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked_id(model_id)
    assert refused.value.param == "id"


def test_a_letter_that_only_looks_like_one_is_named() -> None:
    with pytest.raises(InvalidRequest, match="'а' cannot be in one"):
        checked_id("org/nаme")


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", "feature/x-y", "0" * 40])
def test_a_revision_is_taken(revision: str) -> None:
    assert checked_revision(revision) == revision


@pytest.mark.parametrize(
    "revision", ["../main", "a/../b", "/main", "a//b", "main?x", "ma in", "main\0", ".hidden", "a/.b", "x" * 300, "a\\b", "x.lock"]
)
def test_a_revision_that_is_none_is_refused(revision: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked_revision(revision)
    assert refused.value.param == "revision"


HOSTILE = [
    "../x.json",
    "a/../../x.json",
    "/etc/passwd",
    "",
    "a//b.json",
    "./x.json",
    "x\0.json",
    "x\n.json",
    "..",
    "a\\..\\b.json",
    "x" * 300,
]
HOSTILE += ["\ud800.json", "a/" * 600 + "x", None, 7, ["x"]]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_does_not_stay_in_its_folder_is_refused(name: object) -> None:
    with pytest.raises(LoadFailed):
        checked_file(name)


@pytest.mark.parametrize("name", ["../../config.json", "/tmp/config.json", "config.json\0", "..\\config.json"])
async def test_a_model_that_names_such_a_file_is_refused_as_a_whole(name: str, server: HubServer, tmp_path: Path) -> None:
    server.models["org/Tiny-4bit"].listing = lambda siblings: [*siblings, {"rfilename": name, "size": 2, "blobId": "0" * 40}]
    with pytest.raises(LoadFailed, match="does not name a file in its folder"):
        await hub_of(server).offer("org/Tiny-4bit")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda siblings: "none",
        lambda siblings: [7],
        lambda siblings: [{**siblings[0], "size": -1}],
        lambda siblings: [{**siblings[0], "size": 2**60}],
        lambda siblings: [{**siblings[0], "blobId": "../../x"}],
        lambda siblings: [{**siblings[0], "lfs": {"sha256": "../x", "size": 3}}],
        lambda siblings: [{"rfilename": "config.json"}],
        lambda siblings: [{**siblings[0], "rfilename": f"a{number}.json"} for number in range(3000)],
    ],
)
async def test_a_list_of_files_that_makes_no_sense_is_refused(spoil: Callable[[list[dict[str, Any]]], Any], server: HubServer) -> None:
    server.models["org/Tiny-4bit"].listing = lambda siblings: spoil([row for row in siblings if row["rfilename"] == "config.json"])
    with pytest.raises(LoadFailed):
        await hub_of(server).offer("org/Tiny-4bit")


async def test_a_huge_list_of_files_that_nobody_needs_is_read_all_the_same(server: HubServer) -> None:
    server.models["org/Tiny-4bit"].listing = lambda siblings: [*siblings, *({"rfilename": f"data/{at}.bin"} for at in range(50_000))]
    assert len((await hub_of(server).offer("org/Tiny-4bit")).files) == 8


async def test_an_answer_without_end_is_not_read_to_its_end(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlx_harmony.models.hub.web.LARGEST_ANSWER_BYTES", 10_000)
    server.models["org/Tiny-4bit"].listing = lambda siblings: [{"rfilename": "x" * 200}] * 100
    with pytest.raises(Unavailable, match="too large"):
        await hub_of(server).offer("org/Tiny-4bit")


def test_only_what_a_model_needs_is_got() -> None:
    names = [
        "config.json",
        "model.safetensors.index.json",
        "model-1.safetensors",
        "consolidated.safetensors",
        "tokenizer.model",
        "merges.txt",
    ]
    names += ["chat_template.jinja", "additional_chat_templates/tool.jinja", "a.tiktoken", "x.py", "x.bin", "original/model.safetensors"]
    left_out = {"consolidated.safetensors", "x.py", "x.bin", "original/model.safetensors"}
    assert set(needed(names)) == set(names) - left_out
    assert needed(["adapters.safetensors", "adapter_config.json"]) == ("adapters.safetensors", "adapter_config.json")


async def test_an_offer_tells_what_would_come(server: HubServer) -> None:
    offer = await hub_of(server).offer("org/Tiny-4bit")
    files = server.models["org/Tiny-4bit"].commits[subject(server)["commit"]]
    assert offer.revision == subject(server)["commit"]
    assert {file.name: file.bytes for file in offer.files} == {name: len(files[name]) for name in needed(files)}
    assert offer.bytes == sum(file.bytes for file in offer.files)
    assert offer.config == json.loads(files["config.json"])
    assert (offer.licence, offer.gated, offer.problem) == ("mit", False, "")


async def test_an_address_that_was_pasted_is_an_id(server: HubServer) -> None:
    assert (await hub_of(server).offer(f"{server.address}/org/Tiny-4bit/tree/main")).id == "org/Tiny-4bit"


async def test_what_does_not_exist_is_told_apart(server: HubServer) -> None:
    with pytest.raises(ModelNotFound, match="'org/Nothing'"):
        await hub_of(server).offer("org/Nothing")
    with pytest.raises(InvalidRequest, match="no revision 'v9'") as refused:
        await hub_of(server).offer("org/Tiny-4bit", "v9")
    assert refused.value.param == "revision"


async def test_an_other_commit_than_the_one_asked_for_is_refused(server: HubServer) -> None:
    server.models["org/Tiny-4bit"].refs["1" * 40] = subject(server)["commit"]
    with pytest.raises(LoadFailed, match="another revision"):
        await hub_of(server).offer("org/Tiny-4bit", "1" * 40)


async def test_a_gated_model_is_offered_with_the_way_to_it(server: HubServer) -> None:
    server.models["org/Tiny-4bit"].gated = "auto"
    offer = await hub_of(server).offer("org/Tiny-4bit")
    assert offer.gated and "accepted its licence" in offer.problem and f"{server.address}/org/Tiny-4bit" in offer.problem
    offer = await hub_of(server, token=TOKEN).offer("org/Tiny-4bit")
    assert "with the account the token belongs to" in offer.problem
    server.models["org/Tiny-4bit"].accepted = True
    assert (await hub_of(server, token=TOKEN).offer("org/Tiny-4bit")).problem == ""


async def test_a_token_that_is_not_accepted_is_told(server: HubServer) -> None:
    with pytest.raises(HubRefused, match="does not accept the token") as refused:
        async with hub_of(server, token="hf_old").web() as web:
            await web.read("/org/Tiny-4bit/resolve/main/config.json", hub_of(server, token="hf_old").asked("org/Tiny-4bit"))
    assert "hf_old" not in f"{refused.value.message}{refused.value.hint}"


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (429, {"retry_after": "30"}, "in 30 seconds"),
        (503, {}, "status 503"),
        (500, {}, "status 500"),
        (400, {}, "status 400"),
        (403, {}, "give out"),
    ],
)
async def test_a_hub_that_cannot_answer_is_told(status: int, headers: dict[str, str], said: str, server: HubServer) -> None:
    server.search_trouble = Trouble(status=status, headers=headers)
    with pytest.raises((Unavailable, HubRefused)) as refused:
        await hub_of(server).search("x")
    assert said in f"{refused.value.message} {refused.value.hint}"


async def test_no_network_is_told() -> None:
    with pytest.raises(Unavailable, match="cannot be reached") as refused:
        await Hub("http://127.0.0.1:9", patience=QUICK).search("x")
    assert "works without it" in refused.value.hint


async def test_an_answer_that_is_no_json_is_told(server: HubServer) -> None:
    async with Web(f"{server.address}/org/Tiny-4bit/resolve/main/README.md?", "", Patience()) as web:
        with pytest.raises(Unavailable, match="cannot be read"):
            await web.json("", hub_of(server).asked())


async def test_a_name_that_is_not_known_counts_as_a_broken_connection(server: HubServer) -> None:
    server.trouble("model.safetensors", redirect="https://nowhere.invalid/x")
    server.add("org/Far", {"model.safetensors": b"x"})
    hub = hub_of(server)
    with pytest.raises(Dropped, match="is not known"):
        async with hub.web() as web, web.open("/org/Far/resolve/main/model.safetensors", hub.asked()):
            pass


async def test_the_token_goes_to_the_hub_only() -> None:
    seen: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((str(request.url), request.headers.get("authorization", "")))
        elsewhere = {"/a": "/b", "/b": "https://1.1.1.1/c", "/c": "https://hub.example/d"}.get(request.url.path)
        return httpx.Response(302, headers={"location": elsewhere}) if elsewhere else httpx.Response(200, content=b"here")

    async with Web("https://hub.example", TOKEN, QUICK, httpx.MockTransport(answer)) as web:
        assert await web.read("/a", Asked()) == b"here"
    sent = f"Bearer {TOKEN}"
    assert seen == [
        ("https://hub.example/a", sent),
        ("https://hub.example/b", sent),
        ("https://1.1.1.1/c", ""),
        ("https://hub.example/d", sent),
    ]


async def test_behind_a_proxy_names_are_its_own_to_resolve(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add("org/Far", {"model.safetensors": b"x"})
    monkeypatch.setenv("HTTPS_PROXY", server.address)
    hub = hub_of(server)
    for address, why in (("nowhere.invalid", "the proxy refused"), ("10.0.0.8", "private network")):
        server.trouble("model.safetensors", redirect=f"https://{address}/x")
        with pytest.raises((Dropped, Unavailable), match=why):
            async with hub.web() as web, web.open("/org/Far/resolve/main/model.safetensors", hub.asked()):
                pass
    assert [request.path for request in server.requests if request.method == "CONNECT"] == []


async def test_a_search_finds_models_for_mlx_first(server: HubServer) -> None:
    weights = {"parameters": {"BF16": 130_000_000, "U32": 500_000_000}, "total": 1}
    server.add("mlx-community/Qwen3-4B-4bit", {}, downloads=5, safetensors=weights, lastModified="2026-01-02T03:04:05.000Z", **MLX)
    server.add(
        "Qwen/Qwen3-4B", {}, downloads=99, tags=["safetensors"], pipeline_tag="text-generation", safetensors={"parameters": {"BF16": 10}}
    )
    server.add("Qwen/Qwen3-4B-GGUF", {}, downloads=999, tags=["gguf"])
    first, second = await hub_of(server).search("qwen3")
    assert (first.id, first.mlx, first.bits, first.licence, first.family) == (
        "mlx-community/Qwen3-4B-4bit",
        True,
        4,
        "apache-2.0",
        "Qwen3-4B",
    )
    assert first.bytes == 2 * 130_000_000 + 4 * 500_000_000
    assert first.parameters == pytest.approx(4e9, rel=0.01)
    assert first.modified_at == pytest.approx(1767323045)
    assert (second.id, second.mlx, second.bits, second.bytes) == ("Qwen/Qwen3-4B", False, None, 20)
    assert [found.id for found in await hub_of(server).search("qwen3", 1)] == [first.id]
    assert [found.id for found in await hub_of(server).search("", 9)] == ["org/Tiny-4bit", first.id]


async def test_rows_that_make_no_sense_are_left_out(server: HubServer) -> None:
    nonsense: dict[str, Any] = {
        "downloads": "many",
        "likes": -1,
        "safetensors": {"parameters": {"BF16": "x", 3: 4}},
        "lastModified": "soon",
    }
    server.add("../evil", {}, **MLX)
    server.add("org/Odd", {}, **{**MLX, "tags": ["mlx", 7, "license:\x1b[31m"], **nonsense})
    found = {row.id: row for row in await hub_of(server).search("")}
    assert set(found) == {"org/Tiny-4bit", "org/Odd"}
    odd = found["org/Odd"]
    assert (odd.downloads, odd.likes, odd.bytes, odd.licence, odd.modified_at) == (0, 0, None, "", 0.0)


@pytest.mark.parametrize(("text", "limit"), [("x" * 300, 5), ("a\nb", 5), ("x", 0), ("x", 1000)])
async def test_a_search_that_is_none_is_refused(text: str, limit: int, server: HubServer) -> None:
    with pytest.raises(InvalidRequest):
        await hub_of(server).search(text, limit)
    assert server.requests == []


async def test_offline_nothing_is_asked(server: HubServer) -> None:
    hub = hub_of(server, offline=True)
    for asking in (hub.search("x"), hub.offer("org/Tiny-4bit")):
        with pytest.raises(Unavailable, match="HF_HUB_OFFLINE"):
            await asking
    assert server.requests == []


def test_the_environment_says_where_and_with_which_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_file\n")
    files = {"HF_HOME": str(tmp_path)}
    assert Hub.of_environment({}).endpoint.startswith("https://")
    assert Hub.of_environment({"HF_ENDPOINT": "https://mirror.example/hub/"}).endpoint == "https://mirror.example/hub"
    assert Hub.of_environment(files).has_token
    assert not Hub.of_environment({"HF_HOME": str(tmp_path / "none")}).has_token
    assert not Hub.of_environment({**files, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}).has_token
    assert not Hub.of_environment({**files, "HF_TOKEN": "two words"}).has_token
    assert Hub.of_environment({"HF_HOME": "/nowhere", "HF_TOKEN_PATH": str(tmp_path / "token")}).has_token
    assert [Hub.of_environment({"HF_HUB_OFFLINE": said}).offline for said in ("1", "true", "0", "")] == [True, True, False, False]
    assert "hf_file" not in repr(Hub.of_environment(files))


@pytest.mark.parametrize("endpoint", ["ftp://x", "x", "http://", "https://user:pass@x", "https://x/?a=1", "http://x:99999"])
def test_an_endpoint_that_is_no_address_is_told(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="HF_ENDPOINT"):
        Hub(endpoint)


async def test_a_proxy_that_is_none_is_told(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks9://x")
    with pytest.raises(SettingsError, match="as the environment asks"):
        await hub_of(server).search("x")


async def test_what_fits_agrees_with_the_forecast_of_the_files(server: HubServer, fx1: Path, fx2: Path) -> None:
    from mlx_harmony.models.folder import describe
    from mlx_harmony.models.outlook import needs_of

    for folder in (fx1, fx2):
        server.add_folder(f"org/{folder.name}", folder)
        entry = describe("x", folder, "folder")
        needs = needs_of(entry, 10**10)
        fit = fit_of_offer(await hub_of(server).offer(f"org/{folder.name}"), 10**10)
        assert needs is not None and fit.needs_bytes is not None
        assert fit.needs_bytes == pytest.approx(needs.forecast.total, rel=0.02)
        assert fit.verdict == needs.verdict == "fits"


def test_a_verdict_follows_what_is_free() -> None:
    config = {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096, "vocab_size": 128_000}
    config |= {"intermediate_size": 14_336, "max_position_embeddings": 131_072, "quantization": {"bits": 4, "group_size": 64}}
    verdicts = [fit_of(4_500_000_000, config, free).verdict for free in (2 * 10**9, 7 * 10**9, 80 * 10**9)]
    assert verdicts == ["too large", "tight", "fits"]
    assert fit_of(None, config, 10**9).verdict == "unknown"


async def test_a_row_of_a_search_has_a_verdict_too(server: HubServer) -> None:
    server.add("mlx-community/Big-4bit", {}, safetensors={"parameters": {"U32": 10**10}}, **MLX)
    (found,) = await hub_of(server).search("big")
    assert fit_of_found(found, 10**9).verdict == "too large"
