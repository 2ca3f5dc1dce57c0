"""`mlx-harmony serve`: the page and the API on this machine. It reads the flags and checks what can be checked before anything starts."""

import argparse

from mlx_harmony.cli.flags import add_draft_flag, add_model_flags, add_prompting_flags, chosen_settings, port_number
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.settings import DEFAULT_HOST, DEFAULT_PORT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help=f"the address to listen on (default: {DEFAULT_HOST}); any but this machine's own needs an API key")
    parser.add_argument("--port", type=port_number, help=f"the port to listen on (default: {DEFAULT_PORT}; 0 takes a free one)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    parser.add_argument("--no-ui", action="store_true", help="serve the API only, without the page")
    add_model_flags(parser)
    add_draft_flag(parser)
    parser.add_argument("--max-models", type=int, metavar="N", help="how many models may be loaded at once (default: 3)")
    parser.add_argument(
        "--memory-budget-mb", type=int, metavar="MB", help="what all loaded models together may take (default: what there is)"
    )
    parser.add_argument(
        "--idle-minutes", type=int, metavar="N", help="unload a model after so many minutes without a request (default: never)"
    )
    add_prompting_flags(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Serves until SIGINT or SIGTERM."""
    settings = chosen_settings(args)
    from mlx_harmony.cli.server import ServeOptions, serve_until_stopped

    options = ServeOptions(with_page=not args.no_ui, open_browser=not (args.no_browser or args.no_ui))
    return serve_until_stopped(settings, options, terminal)
