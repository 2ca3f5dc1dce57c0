"""The app's settings: one frozen object, read once, replaced and saved on change. Knows which folder the app may write."""

import os
from pathlib import Path

from mlx_harmony.records import Record

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 7860


def home_folder() -> Path:
    """Where everything the app writes lives: MLX_HARMONY_HOME, else ~/.mlx-harmony."""
    chosen = os.environ.get("MLX_HARMONY_HOME")
    return Path(chosen).expanduser().resolve() if chosen else Path.home() / ".mlx-harmony"


class Settings(Record):
    """What the app was told. `models_dirs` are folders whose sub-folders are models; `model` is used where a request names none."""

    home: str
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    model: str = "starter"
    models_dirs: tuple[str, ...] = ()
    api_key_hashes: tuple[str, ...] = ()
    max_waiting: int = 64
