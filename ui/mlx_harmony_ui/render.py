"""View records to HTML. Every value is escaped by the templates; only blocks made by `markup` pass as they are."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mlx_harmony_ui import words

HERE = Path(__file__).parent
THEMES = (("system", "As the system", "monitor"), ("light", "Light", "sun"), ("dark", "Dark", "moon"))


@cache
def icon(name: str) -> Markup:
    """One outline icon of the set, hidden from screen readers: its button carries the name."""
    return Markup((HERE / "icons" / f"{name}.svg").read_text(encoding="utf-8").strip())  # noqa: S704  our own file


def tool_icon(name: str) -> str:
    """The icon of a tool by OpenAI's name for it."""
    match name.split(".")[0]:
        case "python":
            return "terminal"
        case "browser":
            return "globe"
        case "apply_patch":
            return "file-diff"
        case _:
            return "wrench"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    logo = Markup((HERE / "icons" / "logo.svg").read_text(encoding="utf-8").strip())  # noqa: S704  our own file
    made.globals.update(icon=icon, tool_icon=tool_icon, logo=logo, shorten=words.shorten, themes=THEMES)
    return made


_ENVIRONMENT = _environment()


def render(template: str, **values: Any) -> str:
    """The HTML of `templates/{template}.html`."""
    return _ENVIRONMENT.get_template(f"{template}.html").render(**values)
