"""The job tray in the top bar: how far each job is, and pausing, resuming, cancelling and forgetting it. Knows no hub."""

import asyncio
import time
from contextlib import suppress

import gradio as gr

from mlx_harmony.errors import HarmonyError, InvalidRequest
from mlx_harmony.jobs.records import Job
from mlx_harmony.service import Service
from mlx_harmony_ui import failures
from mlx_harmony_ui.components.surface import Commands, Handler, surface, text_of, wire
from mlx_harmony_ui.getting.jobs import tray_of
from mlx_harmony_ui.render import render

JUST_S = 10.0


class JobTray:
    """Handlers of the tray. They hold no state of a tab: the jobs are the service's, and outlive every page."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def look(self, event: gr.EventData) -> tuple[object, str]:
        """The tray, for a page that shows it already: nothing is drawn where nothing has changed since."""
        html = await self.drawn(text_of(event, "asking", 64), text_of(event, "mark", 64))
        return html or gr.skip(), str(Commands().add("jobs_looked"))

    async def act(self, event: gr.EventData) -> tuple[str, str]:
        """Pause, resume, cancel or forget a job, or forget all that are over."""
        commands = Commands()
        try:
            await self._act(text_of(event, "action", 20), text_of(event, "job", 64))
        except HarmonyError as error:
            commands.add("jobs_say", text=failures.told(error), tone="bad")
        return await self.drawn(), str(commands.add("jobs_looked"))

    async def _act(self, action: str, job: str) -> None:
        jobs = self._service.jobs
        match action:
            case "Pause":
                await jobs.pause(job)
            case "Resume" | "Try again":
                await jobs.resume(job)
            case "cancel":
                await jobs.cancel(job)
            case "forget":
                await jobs.forget(job)
            case "clear":
                for each in jobs.list():
                    if each.state in ("done", "cancelled"):
                        await jobs.forget(each.id)
            case _:
                raise InvalidRequest("That cannot be done with a job.", param="action")

    async def drawn(self, asking: str = "", shown: str = "") -> str:
        """The tray's HTML; "" where `shown` is the mark of just that. `asking` is the job that somebody is about to cancel."""
        jobs = self._service.jobs.list()
        done = [job for job in jobs if job.state == "done"]
        for job in done:
            await self.arrived(job)
        models = {entry.id for entry in self._service.models() if not entry.problem} if done else set()
        tray = tray_of(jobs, models, asking, time.time())
        return "" if tray.mark == shown else render("jobs", tray=tray)

    async def arrived(self, job: Job) -> None:
        """Let the catalogue have what a job has just brought: its last look may be older, and it looks again only for what it misses."""
        if job.kind == "download" and job.ended_at and time.time() - job.ended_at < JUST_S:
            with suppress(HarmonyError):
                await asyncio.to_thread(self._service.find_model, job.subject.get("id"))


def layout() -> gr.HTML:
    return surface("jobs", "jobs", render("jobs", tray=tray_of((), (), "", 0.0)))


def connect(bridge: gr.HTML, tray: gr.HTML, service: Service) -> JobTray:
    """Bind the events of the tray."""
    handlers = JobTray(service)
    wire(bridge, "jobs", Handler(handlers.look, (tray, bridge), queue=False))
    wire(bridge, "job", Handler(handlers.act, (tray, bridge)))
    return handlers
