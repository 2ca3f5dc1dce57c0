"""The flags that more than one command takes: which model, from which folders."""

import argparse
from pathlib import Path
from typing import Any

import msgspec

from mlx_harmony.settings import Settings, absolute, load_settings

SETTINGS = ("host", "port", "model", "draft_model", "max_models", "memory_budget_mb", "idle_minutes")
"""The settings that flags of the same names stand for."""


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        type=model_name,
        metavar="ID_OR_FOLDER",
        help="the model or alias that answers (default: the one in the settings, else starter)",
    )
    add_models_dir_flag(parser)


def add_models_dir_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models-dir",
        metavar="FOLDER",
        action="append",
        type=existing_folder,
        help="a folder whose sub-folders are models; may be given several times",
    )


def add_draft_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--draft-model",
        type=model_name,
        metavar="ID_OR_FOLDER",
        help="a smaller model with the same tokens that guesses ahead; auto takes the largest that fits (default: the one in the settings)",
    )


def add_cache_file_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prompt-cache-file",
        metavar="FILE",
        help="what `cache prompt` or `cache save` wrote: a prompt that begins the same is not read again",
    )


def add_prompting_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", metavar="NAME", help="a profile: its model, prompt config and context, where no flag says otherwise")
    parser.add_argument(
        "--prompt-config", metavar="FILE", help="a prompt config, in place of the profile's; also one in the configs folder"
    )
    parser.add_argument("--profiles-file", metavar="FILE", help="where profiles are kept (default: profiles.json in the app's home)")


def chosen_settings(args: argparse.Namespace) -> Settings:
    """The settings of this run: what the flags say, else what the app was told before."""
    given: dict[str, Any] = {name: getattr(args, name, None) for name in SETTINGS}
    folders = getattr(args, "models_dir", None)
    if folders:
        given["models_dirs"] = tuple(folders)
    # The server works in a folder of its own: a file that is here is named in full.
    config, profiles = getattr(args, "prompt_config", None) or "", getattr(args, "profiles_file", None) or ""
    return msgspec.structs.replace(
        load_settings(given),
        profile=getattr(args, "profile", None) or "",
        prompt_config=str(absolute(config)) if config and absolute(config).is_file() else config,
        profiles_file=str(absolute(profiles)) if profiles else "",
    )


def existing_folder(text: str) -> str:
    """The folder as an absolute path: the server works in a folder of its own."""
    folder = Path(text).expanduser().resolve()
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text!r}")
    return str(folder)


def model_name(text: str) -> str:
    """A model's id as given; a folder, which may have been named relatively, as an absolute path."""
    folder = Path(text).expanduser()
    return str(folder.resolve()) if folder.is_dir() else text


def port_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, not {text!r}")
    return int(text)
