"""The page's head: both themes, the frame's CSS and the scripts, inlined so that nothing is fetched. Knows no chat and no model."""

import re

import gradio as gr

from mlx_harmony_ui.render import HERE

STYLES = (
    "tokens",
    "frame",
    "turns",
    "formulas",
    "edges",
    "history",
    "panels",
    "cards",
    "attach",
    "presets",
    "lists",
    "cache",
    "reading",
    "narrow",
    "models",
    "aliases",
    "getting",
    "compare",
    "jobs",
)
SCRIPTS = (
    "patch",
    "focus",
    "state",
    "afar",
    "surface",
    "options",
    "actions",
    "found",
    "trash",
    "cache",
    "reading",
    "models",
    "aliases",
    "getting",
    "compare",
    "jobs",
    "details",
    "plain",
    "menus",
    "composer",
    "edit",
    "files",
    "attach",
    "typed",
    "presets",
    "keys",
    "speech",
    "windows",
    "start",
)
_FIRST = 'document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";'


def head() -> str:
    """Everything between <head> and </head> that is ours."""
    css = "\n".join(_read(f"{name}.css") for name in STYLES)
    js = "\n".join(_read(f"{name}.js") for name in SCRIPTS)
    return (
        '<meta http-equiv="x-dns-prefetch-control" content="off"><meta name="color-scheme" content="light dark">'
        f"<style>{css}</style><script>(() => {{ {_FIRST}\n{js} }})();</script>"
    )


def theme() -> gr.themes.Base:
    """Gradio's own theme with our paper and the system's fonts, for the moment before the page is drawn."""
    fonts = ("system-ui", "sans-serif")
    mono = ("ui-monospace", "monospace")
    return gr.themes.Base(font=fonts, font_mono=mono).set(
        body_background_fill=token("paper"),
        body_background_fill_dark=token("paper", dark=True),
        body_text_color=token("ink"),
        body_text_color_dark=token("ink", dark=True),
    )


def token(name: str, *, dark: bool = False) -> str:
    """A colour of look.md by its name, as tokens.css has it."""
    light, night = _read("tokens.css").split(":root[data-theme")
    found = re.search(rf"--{name}: (#[0-9a-f]{{6}})", night if dark else light)
    if found is None:
        raise KeyError(name)
    return found.group(1)


def _read(name: str) -> str:
    return (HERE / "static" / name).read_text(encoding="utf-8")
