"""Mounting the page on the API's app: every option of Gradio that must be set is set here, and nowhere else."""

from pathlib import Path
from typing import Any

import gradio as gr

from mlx_harmony.service import Service
from mlx_harmony_ui import shortcuts
from mlx_harmony_ui.components.surface import Handler, bridge, surface, text_of, wire
from mlx_harmony_ui.environment import seal
from mlx_harmony_ui.render import HERE, render
from mlx_harmony_ui.tabs import aliases, cache, chat, cleaning, comparing, getting, jobs, models, settings, trash
from mlx_harmony_ui.tabs.files import drop_html
from mlx_harmony_ui.theme import head, theme

TABS = (("chat", "Chat"), ("models", "Models"), ("cache", "Cache"), ("settings", "Settings"))
LARGEST_UPLOAD = "1mb"
QUEUE_LOOK_S = 0.02


def mount(app: Any, service: Service) -> Any:
    """The page on `/` of a FastAPI app whose own routes are all there already."""
    home = Path(service.settings.home)
    seal(home=home)
    page = build(service)
    # Gradio adds the head by script as well; the gate lets only inline scripts run that it was told of.
    app.state.page_head = head()
    mounted = gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        # The page has no file to give out: whatever Gradio would serve by its path, the working folder included, stays shut.
        blocked_paths=["/"],
        favicon_path=str(HERE / "icons" / "favicon.png"),
        show_error=False,
        max_file_size=LARGEST_UPLOAD,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        head=head(),
    )
    # Only a launched app checks the paths that clients name; a mounted one never counts as launched by itself.
    page.has_launched = True
    return mounted


def build(service: Service) -> gr.Blocks:
    """The whole page over the service."""
    with gr.Blocks(title="MLX Harmony", analytics_enabled=False, fill_width=True) as page:
        speaker = bridge()
        with gr.Column(elem_id="app"):
            surface("topbar", "topbar", render("topbar", tabs=TABS))
            pill = surface("pill", "pill")
            at = chat.layout()
            with gr.Column(elem_id="models-view"):
                models_view = models.layout()
                get_views = getting.layout()
                compare_views = comparing.layout()
                cleaning_views = cleaning.layout()
                alias_view = aliases.layout()
            cache_view = cache.layout()
            settings_view = settings.layout()
            trash_view = trash.layout()
            surface("offline", "offline", render("offline"))
            surface("shortcuts", "shortcuts", render("shortcuts", groups=shortcuts.GROUPS, meta=shortcuts.META))
            surface("questions", "questions", render("questions"))
            surface("speech", "speech", render("speech"))
            tray_view = jobs.layout()
            surface("veil", "veil")
            surface("drop", "drop", drop_html(service.limits))
        chat.connect(speaker, at, pill, service)
        models_tab = models.connect(speaker, models_view, pill, at.starter, service)
        cleaning.connect(speaker, cleaning_views, service, models_tab.forget)
        aliases.connect(speaker, alias_view, service)
        tray = jobs.connect(speaker, tray_view, service)
        getting.connect(speaker, (*get_views, tray_view), service, tray)
        comparing.connect(speaker, compare_views, at.chats, service)
        cache_tab = cache.connect(speaker, cache_view, service)
        settings_tab = settings.connect(speaker, settings_view, service)
        trash_tab = trash.connect(speaker, trash_view, at.chats, service)

        async def show(event: gr.EventData) -> tuple[Any, ...]:
            """cache, settings, trash: the one that is looked at now. The models ask for themselves."""
            match text_of(event, "view", 20):
                case "cache":
                    return await cache_tab.show(event), gr.skip(), gr.skip()
                case "settings":
                    return gr.skip(), await settings_tab.show(), gr.skip()
                case "trash":
                    return gr.skip(), gr.skip(), await trash_tab.show()
                case _:
                    return gr.skip(), gr.skip(), gr.skip()

        wire(speaker, "show", Handler(show, (cache_view, settings_view, trash_view)))
    page.queue(api_open=False, default_concurrency_limit=None, max_size=None)
    # Gradio asks its queue a thousand times a second whether something has come, which at rest takes 5 % of a core for ever.
    page._queue.sleep_when_free = QUEUE_LOOK_S
    return page
