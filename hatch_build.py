"""Puts the Starter's files into the wheel, and refuses to build one without them. An editable install reads them from the checkout."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NEEDED = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
HOME_IN_WHEEL = "mlx_harmony/assets/starter"


class StarterHook(BuildHookInterface):
    """Adds the files of assets/starter itself; the recipe beside them is for those who train."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "standard":
            return
        folder = Path(self.root) / "assets" / "starter"
        missing = [name for name in NEEDED if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(f"assets/starter has no {', '.join(missing)}: a wheel without the Starter could not answer")
        files = (file for file in sorted(folder.iterdir()) if file.is_file())
        build_data["force_include"].update({str(file): f"{HOME_IN_WHEEL}/{file.name}" for file in files})
