"""The command names people know from earlier releases, each a thin door to one sub-command."""

import sys

from mlx_harmony.cli.main import main


def chat() -> int:
    return main(["chat", *sys.argv[1:]])


def migrate_chat() -> int:
    return main(["migrate-chat", *sys.argv[1:]])


def generate() -> int:
    return main(["generate", *sys.argv[1:]])


def serve() -> int:
    return main(["serve", *sys.argv[1:]])


def models() -> int:
    return main(["models", *sys.argv[1:]])


def cache_prompt() -> int:
    return main(["cache", "prompt", *sys.argv[1:]])
