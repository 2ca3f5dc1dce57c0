"""One model of the hub beside the search: its files, licence and fit, what it does to the disk, and what can be done with it. Pure."""

from typing import Literal, NamedTuple

from mlx_harmony.getting import Space
from mlx_harmony.jobs.records import Job
from mlx_harmony.models.hub.fit import Fit
from mlx_harmony.models.hub.offers import Offer
from mlx_harmony.models.info import ModelInfo
from mlx_harmony.records import Record
from mlx_harmony_ui import words
from mlx_harmony_ui.getting.finds import FITS
from mlx_harmony_ui.present import Notice

Standing = Literal["offered", "coming", "here", "refused"]
MAIN = "main"
MOST_FILES = 60
_VERDICTS = {
    "fits": "It fits this machine’s memory",
    "tight": "It fits this machine’s memory with a shorter context than its own",
    "too large": "It will not fit this machine’s memory",
    "unknown": "Whether it fits this machine’s memory is not known",
}


class Fact(Record):
    """`exact` is shown on hover; `copied`: what the button beside it copies, "" for none."""

    name: str
    text: str
    exact: str = ""
    copied: str = ""


class FileRow(Record):
    name: str
    whole_name: str
    size: str


class OfferView(Record):
    """All of the drawer. `standing` says what can be done; `action` is the button's text where it can be downloaded."""

    id: str
    name: str
    page: str
    asked: str
    standing: Standing
    action: str
    fit: str
    fit_class: str
    fit_text: str
    disk: str
    facts: tuple[Fact, ...]
    files: tuple[FileRow, ...]
    files_text: str
    more: str
    notices: tuple[Notice, ...]
    gated: bool


class Opened(NamedTuple):
    """What is known of an offer: `asked` is the revision that was asked for, `info` the model where it is here, `job` its download."""

    offer: Offer
    asked: str
    page: str
    fit: Fit
    space: Space
    info: ModelInfo | None = None
    job: Job | None = None


def offer_view(opened: Opened) -> OfferView:
    """The offer as it stands."""
    offer, standing = opened.offer, _standing(opened)
    rest = len(offer.files) - MOST_FILES
    largest = sorted(offer.files, key=lambda file: -file.bytes)[:MOST_FILES]
    return OfferView(
        id=offer.id,
        name=offer.id.rpartition("/")[2],
        page=opened.page,
        asked="" if opened.asked == MAIN else opened.asked,
        standing=standing,
        action=_action(opened),
        fit=FITS[opened.fit.verdict],
        fit_class=opened.fit.verdict.replace(" ", "-"),
        fit_text=_fit(opened.fit),
        disk=_disk(opened) if standing == "offered" or not opened.space.enough else "",
        facts=tuple(_facts(opened)),
        files=tuple(FileRow(name=words.shorten(file.name, 40), whole_name=file.name, size=words.size(file.bytes)) for file in largest),
        files_text=f"{words.several(len(offer.files), 'file')}, {words.size(offer.bytes)}",
        more=f"and {words.several(rest, 'more file')}" if rest > 0 else "",
        notices=tuple(_notices(opened, standing)),
        gated=offer.gated,
    )


def _standing(opened: Opened) -> Standing:
    offer, info, job = opened.offer, opened.info, opened.job
    if job and job.state in ("waiting", "running", "paused", "failed"):
        return "coming"
    if info and info.complete and info.revision == offer.revision:
        return "here"
    return "refused" if offer.problem or not offer.files or not opened.space.enough else "offered"


def _action(opened: Opened) -> str:
    missing, size = opened.space.missing, words.size(opened.space.missing)
    if not missing:
        return "Complete it"
    return f"Download {size} anyway" if opened.fit.verdict == "too large" else f"Download {size}"


def _fit(fit: Fit) -> str:
    said = _VERDICTS[fit.verdict]
    if fit.needs_bytes is None:
        return f"{said}."
    free = f", and {words.size(fit.free_bytes)} are free" if fit.free_bytes is not None else ""
    return f"{said}: about {words.size(fit.needs_bytes)} are needed with its whole context{free}."


def _disk(opened: Opened) -> str:
    """What the download would do to the disk."""
    space = opened.space
    here = opened.offer.bytes - space.missing
    begun = f" {words.size(here)} of it are here already." if here > 0 and space.missing else ""
    if space.free is None:
        return begun.strip()
    if not space.missing:
        return "All its files are here already."
    if not space.enough:
        return f"The disk has no room for it: {words.size(space.free)} are free, {words.size(space.missing)} are to come.{begun}"
    return f"{words.size(space.free)} are free on the disk, {words.size(space.free - space.missing)} after it.{begun}"


def _facts(opened: Opened) -> list[Fact]:
    offer = opened.offer
    owner = offer.id.rpartition("/")[0]
    facts = [
        Fact(name="Id", text=words.shorten(offer.id, 40), exact=offer.id, copied=offer.id),
        Fact(name="Owner", text=words.shorten(owner, 40), exact=owner),
        Fact(name="Licence", text=offer.licence or "not said"),
        Fact(name="Architecture", text=_plain(offer, "model_type")),
        Fact(name="Size", text=words.size(offer.bytes), exact=f"{words.count(offer.bytes)} bytes"),
        Fact(name="Revision", text=f"{opened.asked} {offer.revision[:8]}", exact=offer.revision, copied=offer.revision),
    ]
    return [fact for fact in facts if fact.text]


def _plain(offer: Offer, name: str) -> str:
    """A short text of its config; whatever else stands there is not shown."""
    value = (offer.config or {}).get(name)
    return words.shorten(value, 40) if isinstance(value, str) and value.isprintable() else ""


def _notices(opened: Opened, standing: Standing) -> list[Notice]:
    offer, info, job = opened.offer, opened.info, opened.job
    if standing == "coming" and job:
        said = {"paused": "Its download is paused.", "failed": "Its download failed."}.get(job.state, "It is being downloaded.")
        return [Notice(tone="bad" if job.state == "failed" else "quiet", headline=said, text=job.problem)]
    if offer.problem:
        headline = "Its licence has to be accepted first" if offer.gated else "It cannot be had"
        return [Notice(tone="warn" if offer.gated else "bad", headline=headline, text=offer.problem)]
    if standing == "refused" and not offer.files:
        return [Notice(tone="bad", headline="It cannot be used here", text="There is nothing in it that is loaded here.")]
    if standing == "refused":
        return [Notice(tone="bad", headline="The disk has no room for it", text="Delete models under On this machine, then come back.")]
    if standing == "offered" and info and info.revision:
        return [Notice(tone="quiet", headline=f"Revision {info.revision[:8]} of it is here. This one comes beside it.")]
    return []
