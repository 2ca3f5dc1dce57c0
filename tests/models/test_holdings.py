"""What lies on the disk: bytes counted once, revisions, half downloads, left-overs; huggingface_hub's own scan is the oracle."""

import os
from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir

from mlx_harmony.models.catalog import Places, scan, starter_folder
from mlx_harmony.models.holdings import Holding, holdings
from tests.fixtures.hub_cache import CONFIG, HubCache, build, model_files
from tests.models.test_catalog import model


def held(cache: HubCache, **others: object) -> dict[str, Holding]:
    places = Places(starter=starter_folder(), hub_cache=cache.root, **others)  # type: ignore[arg-type]
    return {holding.id: holding for holding in holdings(places)}


def two_revisions(root: Path) -> HubCache:
    """org/B in two revisions that share their weights; `tag` leads to the old one too."""
    cache = HubCache(root)
    old = {"config.json": b"{}" * 50, "model.safetensors": b"s" * 200_000, "old/tokenizer.json": b"o" * 30_000}
    cache.revision("org/B", "1" * 40, old)
    new = {**model_files(), "model.safetensors": b"s" * 200_000, "extra.safetensors": b"n" * 50_000}
    cache.revision("org/B", "2" * 40, new)
    return cache


def test_every_kind_is_listed_with_the_catalogue_s_ids(tmp_path: Path) -> None:
    cache = build(tmp_path / "hub")
    model(tmp_path / "models" / "mine-4bit")
    adapter = tmp_path / "models" / "lora"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"model": "mine-4bit"}')
    (adapter / "adapters.safetensors").write_bytes(b"a" * 10)
    found = held(cache, folders=(tmp_path / "models",))
    kinds = {name: holding.kind for name, holding in found.items()}
    assert kinds == {
        "starter": "bundled",
        "mine-4bit": "folder",
        "lora": "adapter",
        "org/A": "model",
        "org/B": "model",
        "org/C": "model",
        "org/E": "model",
        "datasets/org/D": "dataset",
    }
    listed = {entry.id for entry in scan(Places(starter=starter_folder(), folders=(tmp_path / "models",), hub_cache=cache.root))}
    assert listed == set(found) - {"org/C", "datasets/org/D"}
    assert {name for name, holding in found.items() if holding.mlx} == {"starter", "mine-4bit", "lora", "org/A", "org/B", "org/E"}
    assert (found["lora"].path, found["lora"].family) == (str(adapter), "mine")
    assert (found["mine-4bit"].family, found["mine-4bit"].bits, found["mine-4bit"].root) == ("mine", 4, str(tmp_path / "models"))
    assert "missing" in found["org/E"].problem and "no snapshot" in found["datasets/org/D"].problem


def test_what_is_known_of_the_models_already_gives_the_same(tmp_path: Path) -> None:
    cache = build(tmp_path / "hub")
    model(tmp_path / "models" / "mine-4bit")
    places = Places(starter=starter_folder(), hub_cache=cache.root, folders=(tmp_path / "models",))
    assert holdings(places, scan(places)) == holdings(places)


def test_blobs_count_once_and_what_goes_with_one_revision_is_less_than_its_files(tmp_path: Path) -> None:
    cache = two_revisions(tmp_path)
    cache.incomplete("org/B", 7_000)
    holding = held(cache)["org/B"]
    old, new = holding.revisions
    config = len(model_files()["config.json"])
    assert holding.bytes == 200_000 + 100 + 30_000 + config + 50_000 and holding.incomplete_bytes == 7_000
    assert (old.bytes, old.own_bytes, old.refs, old.detached) == (230_100, 30_100, (), True)
    assert (new.bytes, new.own_bytes, new.refs, new.detached) == (250_000 + config, 50_000 + config, ("main",), False)


def test_last_use_is_that_of_the_weights_and_not_of_a_file_that_everyone_looks_at(tmp_path: Path) -> None:
    cache = two_revisions(tmp_path)
    for blob in (cache.repository("org/B") / "blobs").iterdir():
        os.utime(blob, (2_000_000_000, 1_000_000_000) if "json" in blob.name else (1_500_000_000, 1_000_000_000))
    holding = held(cache)["org/B"]
    assert holding.last_used_at == holding.revisions[0].last_used_at == 1_500_000_000
    assert holding.modified_at == 1_000_000_000


@pytest.mark.parametrize("offline", ["", "1"])
def test_it_agrees_with_the_scan_of_huggingface_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    cache = two_revisions(tmp_path / "hub")
    cache.revision("org/A", "a" * 40, model_files(5_000))
    cache.revision("plain", "c" * 40, model_files(400))
    cache.share(next((cache.repository("org/A") / "blobs").glob("model*")))
    (tmp_path / "hub" / "datasets--org--D" / "snapshots" / ("d" * 40)).mkdir(parents=True)
    (tmp_path / "hub" / "datasets--org--D" / "snapshots" / ("d" * 40) / "rows.csv").write_bytes(b"r" * 900)
    ours = held(cache)
    scanned = scan_cache_dir(cache.root)
    assert not scanned.warnings
    for repo in scanned.repos:
        holding = ours[f"datasets/{repo.repo_id}" if repo.repo_type == "dataset" else repo.repo_id]
        assert (holding.bytes, holding.path) == (repo.size_on_disk, str(repo.repo_path))
        theirs = {each.commit_hash: (each.size_on_disk, tuple(sorted(each.refs))) for each in repo.revisions}
        assert {each.commit: (each.bytes, each.refs) for each in holding.revisions} == theirs
        for each in holding.revisions:
            promised = scanned.delete_revisions(each.commit).expected_freed_size
            assert promised <= each.own_bytes <= promised + 100, "the refs of a whole repository come on top"
    assert len(scanned.repos) == len(ours) - 1


def test_damage_that_ends_the_other_scan_is_a_problem_of_one_repository(tmp_path: Path) -> None:
    cache = build(tmp_path / "hub")
    (cache.repository("org/A") / "refs" / "odd").write_bytes(b"\xff\xfe")
    (cache.repository("org/B") / "refs" / "next").write_text("f" * 40)
    (cache.repository("org/F") / "snapshots").mkdir(parents=True)
    (cache.repository("org/F") / "blobs").write_text("no folder")
    (tmp_path / "hub" / "models--org--G").write_text("no folder either")
    with pytest.raises(UnicodeDecodeError):
        scan_cache_dir(cache.root)
    found = held(cache)
    assert found["org/A"].problem == "Its ref odd cannot be read." and len(found["org/A"].revisions) == 1
    assert found["org/B"].problem == "Its revision next is not here." and len(found["org/B"].revisions) == 2
    assert "cannot be read" in found["org/F"].problem or "no snapshot" in found["org/F"].problem
    assert "org/G" not in found


def test_links_that_lead_out_are_not_counted(tmp_path: Path) -> None:
    cache = build(tmp_path / "hub")
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 10_000)
    blobs = cache.repository("org/A") / "blobs"
    (blobs / "stray").symlink_to(secret)
    (cache.repository("org/A") / "snapshots" / "a1" / "tokenizer.json").symlink_to(secret)
    (cache.repository("org/A") / "snapshots" / "a1" / "folder").symlink_to(tmp_path)
    (cache.root / "models--org--L").symlink_to(tmp_path)
    found = held(cache)
    assert found["org/A"].bytes < 1_000 and "leads out" in found["org/A"].problem
    assert "leads elsewhere" in found["org/L"].problem or "no snapshot" in found["org/L"].problem


def test_files_of_the_shared_store_belong_to_those_who_use_them(tmp_path: Path) -> None:
    """As of its version 2 huggingface_hub keeps a file once for all repositories of the cache."""
    cache = HubCache(tmp_path)
    for name in ("org/one", "org/two"):
        cache.revision(name, "1" * 40, {**model_files(100_000), "own.safetensors": name.encode() * 1_000})
        cache.share(next((cache.repository(name) / "blobs").glob("model.safe*")))
    cache.share(next((cache.repository("org/two") / "blobs").glob("own*")))
    found = held(cache)
    assert found["org/one"].problem == found["org/two"].problem == ""
    config = len(model_files()["config.json"])
    for holding in (found["org/one"], found["org/two"]):
        assert holding.bytes == 100_000 + 7_000 + config
        assert holding.revisions[0].own_bytes == 7_000 + config + 40, "the other one still needs the weights"


def test_a_snapshot_named_as_a_folder_is_the_repository(tmp_path: Path) -> None:
    cache = build(tmp_path / "hub")
    snapshot = cache.repository("org/B") / "snapshots" / "b1"
    found = held(cache, chosen=snapshot)
    assert found["org/B"].kind == "model" and "b1" not in found
    assert [holding.path for holding in found.values()].count(str(cache.repository("org/B"))) == 1


def test_no_cache_and_an_empty_one_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for root in (tmp_path / "empty", tmp_path / "nowhere"):
        assert list(held(HubCache(root))) == ["starter"]
    assert CONFIG["model_type"] == "llama"
