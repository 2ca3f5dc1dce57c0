"""`mlx-harmony chats`: the chats that are kept, as a table for people or as JSON for programs; their ids are for `chat --chat`."""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence

from mlx_harmony.cli.errors import DONE
from mlx_harmony.cli.flags import chosen_settings
from mlx_harmony.cli.terminal import Terminal
from mlx_harmony.conversation.records import ChatSummary

LONGEST_TITLE = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--search", metavar="TEXT", default="", help="only chats whose title or messages hold these words")
    parser.add_argument("--json", action="store_true", help="print JSON, every field, times in seconds since 1970")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Lists; the last used first."""
    chats = asyncio.run(_found(args))
    if args.json:
        names = ChatSummary.__struct_fields__
        terminal.line(json.dumps([{name: getattr(chat, name) for name in names} for chat in chats], indent=2))
    elif not chats:
        terminal.line("No chats.")
    else:
        for chat in chats:
            used = time.strftime("%Y-%m-%d %H:%M", time.localtime(chat.updated_at))
            terminal.line(f"{chat.id}  {used}  {chat.messages:>5}  {_short(chat.title)}")
    return DONE


async def _found(args: argparse.Namespace) -> Sequence[ChatSummary]:
    from mlx_harmony.service import Service

    service = await Service.open(chosen_settings(args))
    try:
        chats = await service.list_chats()
        if not args.search.strip():
            return chats
        found = {hit.chat_id for hit in await service.search(args.search)}
        return [chat for chat in chats if chat.id in found]
    finally:
        await service.close()


def _short(title: str) -> str:
    return title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}…"
