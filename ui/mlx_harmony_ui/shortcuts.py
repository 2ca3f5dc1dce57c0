"""What the keys do, as the sheet of shortcuts tells it. The keys themselves are taken in static/keys.js. Knows nothing of chats."""

from mlx_harmony.records import Record

META = "Ctrl"
"""Stands for ⌘ on a Mac; the page writes the one that this machine has."""


class Shortcut(Record):
    """`ways` are keys pressed together, each way as good as the others."""

    does: str
    ways: tuple[tuple[str, ...], ...]


class Group(Record):
    name: str
    shortcuts: tuple[Shortcut, ...]


GROUPS = (
    Group(
        name="Writing",
        shortcuts=(
            Shortcut(does="Send the message", ways=(("Enter",),)),
            Shortcut(does="Begin a new line", ways=(("Shift", "Enter"),)),
            Shortcut(does="List the commands, in an empty box", ways=(("\\",), ("/",))),
            Shortcut(does="Take off an attached text that has the focus", ways=(("Delete",),)),
            Shortcut(does="Stop the answer; close what is open", ways=(("Esc",),)),
            Shortcut(does="Go to the message box", ways=(("Shift", "Esc"),)),
            Shortcut(does="Earlier or later version, while the box is empty", ways=(("←",), ("→",))),
        ),
    ),
    Group(
        name="In the list of chats",
        shortcuts=(
            Shortcut(does="Rename a chat", ways=(("F2",),)),
            Shortcut(does="Delete a chat", ways=(("Delete",),)),
        ),
    ),
    Group(
        name="Everywhere",
        shortcuts=(
            Shortcut(does="Search all chats", ways=((META, "K"),)),
            Shortcut(does="New chat", ways=((META, "Shift", "O"),)),
            Shortcut(does="Show or hide the list of chats", ways=((META, "B"),)),
            Shortcut(does="Bring back what was just deleted", ways=((META, "Z"),)),
            Shortcut(does="This sheet", ways=((META, "/"), ("?",))),
        ),
    ),
    Group(
        name="In lists and menus",
        shortcuts=(
            Shortcut(does="Go through the list", ways=(("↑",), ("↓",))),
            Shortcut(does="To the first or the last", ways=(("Home",), ("End",))),
            Shortcut(does="Open or choose", ways=(("Enter",),)),
            Shortcut(does="Fold or unfold a branch of the cache", ways=(("←",), ("→",))),
            Shortcut(does="Drop an entry of the cache", ways=(("Delete",),)),
        ),
    ),
)
