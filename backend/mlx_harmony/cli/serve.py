"""`mlx-harmony serve`: the page and the API on this machine. It reads the flags and checks what can be checked before anything starts."""

import argparse
from pathlib import Path

from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.settings import DEFAULT_HOST, DEFAULT_PORT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help=f"the address to listen on (default: {DEFAULT_HOST}); any but this machine's own needs an API key")
    parser.add_argument("--port", type=port_number, help=f"the port to listen on (default: {DEFAULT_PORT}; 0 takes a free one)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    parser.add_argument("--no-ui", action="store_true", help="serve the API only, without the page")
    parser.add_argument("--model", metavar="ID_OR_FOLDER", help="the model that answers where a request names none (default: starter)")
    parser.add_argument(
        "--models-dir",
        metavar="FOLDER",
        action="append",
        type=existing_folder,
        help="a folder whose sub-folders are models; may be given several times",
    )


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Serves until SIGINT or SIGTERM."""
    from mlx_harmony.cli.server import ServeOptions, serve_until_stopped
    from mlx_harmony.settings import load_settings

    settings = load_settings(
        host=args.host,
        port=args.port,
        model=model_name(args.model),
        models_dirs=tuple(args.models_dir) if args.models_dir else None,
    )
    return serve_until_stopped(settings, ServeOptions(with_page=not args.no_ui, open_browser=not (args.no_browser or args.no_ui)), terminal)


def port_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, not {text!r}")
    return int(text)


def existing_folder(text: str) -> str:
    """The folder as an absolute path: the server works in a folder of its own."""
    folder = Path(text).expanduser().resolve()
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text!r}")
    return str(folder)


def model_name(text: str | None) -> str | None:
    """A model's id as given; a folder, which the shell's user may have named relatively, as an absolute path."""
    if text is None:
        return None
    folder = Path(text).expanduser()
    return str(folder.resolve()) if folder.is_dir() else text
