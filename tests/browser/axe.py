"""axe-core over a page as it stands. Owns which findings count; knows no state of the page."""

from importlib.resources import files
from typing import Any

from playwright.sync_api import Page

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
SERIOUS = ("serious", "critical")
# The devtools protocol runs this, not the page: the page's own policy stays as strict as it is.
AUDIT = """async () => {
    const found = await window.axe.run(document, { resultTypes: ['violations'] });
    return found.violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.map(({ html, any, all, none, target }) =>
        `${target} ${html.slice(0, 160)} ${[...any, ...all, ...none].map((check) => check.message).join('; ')}`) }));
}"""


def faults(page: Page, state: str) -> list[str]:
    """Each serious or critical fault, as `state: rule: where`."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE)
    found: list[dict[str, Any]] = page.evaluate(AUDIT)
    return [f"{state}: {fault['id']}: {node}" for fault in found if fault["impact"] in SERIOUS for node in fault["nodes"]]
