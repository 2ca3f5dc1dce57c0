"""What Gradio would read from the environment, taken out of it or set, before Gradio is imported. Knows nothing else."""

import os
from collections.abc import MutableMapping
from pathlib import Path

from mlx_harmony.settings import home_folder

SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Gradio keeps its last events and sums them up with pandas after every single one: for a monitoring page that is off.
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**12),
}


def seal(environment: MutableMapping[str, str] = os.environ, home: Path | None = None) -> None:
    """Drop every GRADIO_* variable, then set the few we mean: no analytics, and temporary files in a private folder of the app."""
    for name in [name for name in environment if name.startswith("GRADIO_")]:
        del environment[name]
    environment.update(SETTINGS)
    environment["GRADIO_TEMP_DIR"] = str((home or home_folder()) / "page")
