"""One model of the hub as shown: what it takes of disk and memory, and what can be done with it as things stand."""

from typing import Any

import msgspec
import pytest

from mlx_harmony.getting import Space
from mlx_harmony.jobs.records import Job, JobState
from mlx_harmony.models.hub.fit import Fit
from mlx_harmony.models.hub.offers import HubFile, Offer
from mlx_harmony.models.info import ModelInfo
from mlx_harmony.records import ModelEntry
from mlx_harmony_ui.getting.offer import MOST_FILES, Opened, offer_view
from mlx_harmony_ui.render import render

GB = 10**9
COMMIT = "c" * 40
FILES = (HubFile(name="config.json", bytes=400, git_sha1="a" * 40), HubFile(name="model.safetensors", bytes=2 * GB, sha256="b" * 64))
OFFER = Offer(id="org/Tiny-4bit", revision=COMMIT, files=FILES, bytes=2 * GB + 400, licence="mit", config={"model_type": "llama"})
FITS = Fit(verdict="fits", needs_bytes=3 * GB, free_bytes=16 * GB)


def opened(offer: Offer = OFFER, **more: Any) -> Opened:
    return Opened(
        offer=offer, **({"asked": "main", "page": "https://hub/x", "fit": FITS, "space": Space(missing=OFFER.bytes, free=9 * GB)} | more)
    )


def job(state: JobState) -> Job:
    return Job(id="1" * 16, kind="download", title=OFFER.id, state=state, problem="The disk is full.", subject={"commit": COMMIT})


def here(revision: str = COMMIT, lacks: str = "") -> ModelInfo:
    entry = ModelEntry(id=OFFER.id, path="/x", bytes=1, architecture="llama", format="raw", source="hub_cache")
    return ModelInfo(entry=entry, revision=revision, lacks=lacks)


def test_an_offer_tells_what_it_takes_before_it_is_downloaded() -> None:
    view = offer_view(opened())
    assert (view.standing, view.action, view.fit) == ("offered", "Download 2.0 GB", "fits")
    assert view.fit_text == "It fits this machine’s memory: about 3.0 GB are needed with its whole context, and 16 GB are free."
    assert view.disk == "9.0 GB are free on the disk, 7.0 GB after it."
    facts = {fact.name: fact.text for fact in view.facts}
    assert facts["Licence"] == "mit" and facts["Architecture"] == "llama" and facts["Revision"] == "main cccccccc"
    assert [file.name for file in view.files] == ["model.safetensors", "config.json"] and view.files_text == "2 files, 2.0 GB"


def test_what_will_not_fit_is_said_and_can_be_had_all_the_same() -> None:
    view = offer_view(opened(fit=Fit(verdict="too large", needs_bytes=90 * GB, free_bytes=16 * GB)))
    assert view.standing == "offered" and view.action == "Download 2.0 GB anyway" and view.fit_class == "too-large"


def test_what_is_here_already_is_not_downloaded_again() -> None:
    half = offer_view(opened(space=Space(missing=GB, free=9 * GB)))
    assert half.action == "Download 1.0 GB" and half.disk.endswith("1.0 GB of it are here already.")
    assert offer_view(opened(space=Space(missing=0, free=9 * GB))).action == "Complete it"
    assert offer_view(opened(info=here())).standing == "here"
    assert offer_view(opened(info=here(lacks="A file is missing."))).standing == "offered"
    other = offer_view(opened(info=here("d" * 40)))
    assert other.standing == "offered" and other.notices[0].headline == "Revision dddddddd of it is here. This one comes beside it."


@pytest.mark.parametrize("state", ["waiting", "running", "paused", "failed", "done", "cancelled"])
def test_a_download_under_way_leads_to_the_tray(state: JobState) -> None:
    view = offer_view(opened(job=job(state)))
    assert (view.standing == "coming") is (state not in ("done", "cancelled"))
    assert (view.notices[0].text == "The disk is full.") if view.notices else state in ("done", "cancelled")


def test_without_room_on_the_disk_or_a_licence_nothing_can_be_downloaded() -> None:
    full = offer_view(opened(space=Space(missing=2 * GB, free=2 * GB)))
    assert full.standing == "refused" and "2.0 GB are free, 2.0 GB are to come" in full.disk
    assert full.notices[0].headline == "The disk has no room for it"
    gated = offer_view(opened(msgspec.structs.replace(OFFER, gated=True, problem="Accept its licence on its page.")))
    assert gated.standing == "refused" and gated.notices[0].tone == "warn"
    html = render("get_offer", view=gated, of=OFFER.id, revision="main")
    assert "Open its page" in html and "Look again" in html and "Download" not in html
    assert offer_view(opened(msgspec.structs.replace(OFFER, files=()))).standing == "refused"


def test_many_files_are_counted_and_odd_texts_of_a_config_are_not_shown() -> None:
    files = tuple(HubFile(name=f"model-{at:05}.safetensors", bytes=at, sha256=f"{at:064}") for at in range(MOST_FILES + 5))
    view = offer_view(opened(msgspec.structs.replace(OFFER, files=files, config={"model_type": ["x"]})))
    assert len(view.files) == MOST_FILES and view.more == "and 5 more files"
    assert "Architecture" not in {fact.name for fact in view.facts}
    evil = msgspec.structs.replace(OFFER, licence="<img src=x>", config={"model_type": "<script>"})
    html = render("get_offer", view=offer_view(opened(evil)), of=OFFER.id, revision="<i>")
    assert "<img" not in html and "<script" not in html and "<i>" not in html
