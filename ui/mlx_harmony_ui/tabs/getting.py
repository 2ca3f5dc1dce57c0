"""Getting models: searching the hub, one offer beside the list, and its download as a job. The hub is asked only when a person asks."""

import asyncio
import time
from collections import OrderedDict
from typing import Generic, TypeVar

import gradio as gr

from mlx_harmony.errors import HarmonyError
from mlx_harmony.models.hub.offers import Offer
from mlx_harmony.service import Service
from mlx_harmony_ui import failures
from mlx_harmony_ui.components.surface import Commands, Handler, surface, text_of, wire
from mlx_harmony_ui.getting.finds import Searched, finds_view
from mlx_harmony_ui.getting.offer import MAIN, Opened, offer_view
from mlx_harmony_ui.present import Notice
from mlx_harmony_ui.render import render
from mlx_harmony_ui.tabs.jobs import JobTray

LIMIT = 30
MOST_KEPT = 32

T = TypeVar("T")


class _Kept(Generic[T]):
    """The last answers of the hub, so that a page is drawn again without asking anew."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, ...], T] = OrderedDict()

    def get(self, *key: str) -> T | None:
        return self._answers.get(key)

    def put(self, answer: T, *key: str) -> T:
        self._answers[key] = answer
        self._answers.move_to_end(key)
        while len(self._answers) > MOST_KEPT:
            self._answers.popitem(last=False)
        return answer


class GetModels:
    """Handlers of the part. They hold no state of a tab: the page says what it looks at."""

    def __init__(self, service: Service, tray: JobTray) -> None:
        self._service = service
        self._tray = tray
        self._searched: _Kept[Searched] = _Kept()
        self._offers: _Kept[Offer] = _Kept()

    async def find(self, event: gr.EventData) -> tuple[object, str]:
        """Search; with `again`, draw what is known already, and before any search what there is to begin with."""
        text, opened = " ".join(text_of(event, "text", 1000).split()), text_of(event, "opened", 300)
        searched = self._searched.get(text) if text_of(event, "begun", 4) else None
        if not text_of(event, "again", 4):
            searched = self._searched.put(await self._search(text), text)
        models = await asyncio.to_thread(self._service.models)
        view = finds_view(searched or self._beginning(), models, opened, time.time())
        same = view.mark == text_of(event, "mark", 64)
        html = gr.skip() if same else render("get_found", view=view, asked=text_of(event, "asked", 20))
        return html, str(Commands().add("get_found"))

    async def offer(self, event: gr.EventData) -> tuple[object, str]:
        """One model of the hub; with `again`, as it was told of last."""
        model, revision = text_of(event, "model", 300), text_of(event, "revision", 300).strip() or MAIN
        again = bool(text_of(event, "again", 4))
        offer = self._offers.get(model, revision)
        if again and offer is None:
            return gr.skip(), str(Commands().add("get_offered"))
        return await self._offered(model, revision, None if not again else offer), str(Commands().add("get_offered"))

    async def get(self, event: gr.EventData) -> tuple[object, str, str]:
        """Begin a download."""
        model, revision = text_of(event, "model", 300), text_of(event, "revision", 300).strip() or MAIN
        try:
            job = await self._service.getting.download(model, revision)
        except HarmonyError as error:
            return _failed(model, revision, error), await self._tray.drawn(), str(Commands().add("jobs_looked"))
        offer = self._offers.get(model, revision)
        html = gr.skip() if offer is None else await self._offered(model, revision, offer)
        return html, await self._tray.drawn(), str(Commands().add("jobs_looked").add("job_landed", job=job.id))

    async def _search(self, text: str) -> Searched:
        try:
            found = await self._service.getting.search(text, LIMIT)
        except HarmonyError as error:
            return Searched(text, None, _notice(error))
        fits = await asyncio.to_thread(self._service.getting.fits, found)
        return Searched(text, tuple(zip(found, fits, strict=True)))

    def _beginning(self) -> Searched:
        """What stands there before anything was searched for."""
        try:
            return Searched(offline=self._service.getting.offline)
        except HarmonyError as error:
            return Searched(notice=_notice(error))

    async def _offered(self, model: str, revision: str, offer: Offer | None) -> str:
        try:
            offer = offer or self._offers.put(await self._service.getting.offer(model, revision), model, revision)
            opened = await self._opened(offer, revision)
        except HarmonyError as error:
            return _failed(model, revision, error)
        return render("get_offer", view=offer_view(opened), of=model, revision=revision)

    async def _opened(self, offer: Offer, revision: str) -> Opened:
        getting = self._service.getting
        fit, space = await asyncio.to_thread(lambda: (getting.fit(offer), getting.space(offer)))
        jobs = (job for job in self._service.jobs.list() if job.kind == "download" and job.subject.get("commit") == offer.revision)
        job = next((job for job in jobs if job.subject.get("id") == offer.id), None)
        if job and job.state == "done":
            await self._tray.arrived(job)
        infos = await self._service.infos()
        return Opened(
            offer=offer,
            asked=revision,
            page=getting.page(offer.id),
            fit=fit,
            space=space,
            info=next((info for info in infos if info.entry.id == offer.id and not info.entry.problem), None),
            job=job,
        )


def _notice(error: HarmonyError) -> Notice:
    return Notice(tone="bad", headline=failures.headline(error.code), text=f"{error.message} {error.hint}".strip())


def _failed(model: str, revision: str, error: HarmonyError) -> str:
    return render("get_failed", of=model, revision=revision, notice=_notice(error))


def layout() -> tuple[gr.HTML, gr.HTML]:
    """The search, what it found, and the offer beside it."""
    with gr.Column(elem_id="get-view"):
        surface("get", "get-head", render("get"))
        found = surface("get-found", "get-found")
        offer = surface("get-offer", "get-offer")
    return found, offer


def connect(bridge: gr.HTML, views: tuple[gr.HTML, gr.HTML, gr.HTML], service: Service, tray: JobTray) -> GetModels:
    """Bind the events of the part; the third view is the tray, in which a download is drawn as well."""
    handlers, (found, offer, jobs) = GetModels(service, tray), views
    wire(bridge, "find_models", Handler(handlers.find, (found, bridge)))
    wire(bridge, "offer", Handler(handlers.offer, (offer, bridge)))
    wire(bridge, "get_model", Handler(handlers.get, (offer, jobs, bridge)))
    return handlers
