"""Two programs on one chat file, as real processes: neither takes the other's answer for a dead one, and nothing is mixed or lost."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mlx_harmony.conversation.plan import user_message
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.conversation.schema import MIGRATIONS, VERSION
from mlx_harmony.conversation.store import Store
from mlx_harmony.conversation.turn import Turns
from mlx_harmony.errors import ChatNotFound, Unavailable
from mlx_harmony.events import Finished
from tests.conversation.conftest import find_starter, gather
from tests.fixtures.provider import ScriptedProvider

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]


class Program:
    """The other program; `tell` gives it a line, `hear` takes one of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def tell(self, *words: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def hear(self) -> list[str]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the other program ended by itself"
        return line.split()


@contextmanager
def program(path: Path, chat: str = "") -> Iterator[Program]:
    """Another program on the chat file; with `chat` it has made one of that id."""
    command = [sys.executable, "-m", "tests.fixtures.second_program", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        other = Program(process)
        try:
            assert other.hear() == ["opened"]
            if chat:
                other.tell("chat", chat)
                assert other.hear() == ["done"]
            yield other
        finally:
            process.kill()


def turns_over(store: Store) -> Turns:
    return Turns(store, ScriptedProvider(), find_starter)


async def states(store: Store, chat_id: str) -> list[str]:
    return [message.state for message in (await store.read_chat(chat_id)).messages]


async def test_an_answer_of_another_program_goes_on_undisturbed_and_its_chat_takes_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    with program(path, "c") as other:
        other.tell("send", "c", 100, "words please")
        _, user_id, answer_id = other.hear()
        store = await Store.open(path)
        turns = turns_over(store)
        assert await states(store, "c") == ["complete", "streaming"]
        for stream in (turns.send("c", "Me too", TurnOptions()), turns.regenerate("c", answer_id, TurnOptions())):
            with pytest.raises(Unavailable, match="is answering"):
                await gather(stream)
        with pytest.raises(Unavailable):
            await turns.delete("c", user_id)
        await store.create_chat("d", TurnOptions())
        assert isinstance((await gather(turns.send("d", "Elsewhere", TurnOptions())))[-1], Finished)
        await asyncio.sleep(0.7)
        growing = (await store.read_chat("c")).messages[-1]
        assert growing.state == "streaming" and growing.content.startswith("0 1 2 ")
        assert await asyncio.to_thread(other.hear) == ["done"]
        answer = (await store.read_chat("c")).messages[-1]
        assert (answer.state, len(answer.content.split())) == ("complete", 100)
        assert isinstance((await gather(turns.send("c", "Now me", TurnOptions())))[-1], Finished)
        await store.close()


async def test_a_chat_deleted_while_another_program_answers_keeps_the_whole_answer(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    with program(path, "c") as other:
        other.tell("send", "c", 40, "words")
        other.hear()
        store = await Store.open(path)
        await store.trash_chat("c")
        assert await asyncio.to_thread(other.hear) == ["done"]
        await store.restore_chat("c")
        answer = (await store.read_chat("c")).messages[-1]
        assert (answer.state, len(answer.content.split())) == ("complete", 40)
        await store.close()


async def test_what_a_killed_program_left_is_marked_at_once_and_its_chat_is_free(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    with program(path, "c") as other:
        other.tell("send", "c", 500, "words")
        other.hear()
        store = await Store.open(path)
        await asyncio.sleep(0.8)
        other.process.send_signal(signal.SIGKILL)
        other.process.wait()
        cut = (await store.read_chat("c")).messages[-1]
        assert cut.state == "interrupted" and cut.content.startswith("0 1 2 ")
        assert isinstance((await gather(turns_over(store).send("c", "Again", TurnOptions())))[-1], Finished)
        assert await states(store, "c") == ["complete", "interrupted", "complete", "complete"]
        await store.close()


async def test_two_programs_that_send_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    with program(path, "c") as one, program(path) as two:
        for number in range(12):
            for name, other in (("one", one), ("two", two)):
                other.tell("send", "c", 1 + number % 3, f"{name}-{number}")
        accepted = []
        for name, other in (("one", one), ("two", two)):
            for number in range(12):
                words = await asyncio.to_thread(other.hear)
                if words[0] == "started":
                    accepted.append((words[1], f"{1 + number % 3} {name}-{number}"))
                    assert await asyncio.to_thread(other.hear) == ["done"]
                else:
                    assert words[:2] == ["refused", "unavailable"]
        store = await Store.open(path)
        messages = (await store.read_chat("c")).messages
        asked = {message.id: message.content for message in messages if message.role == "user"}
        assert asked == dict(accepted) and len(accepted) >= 4
        assert [message.role for message in messages] == ["user", "assistant"] * len(accepted)
        for question, answer in zip(messages[::2], messages[1::2], strict=True):
            assert len(answer.content.split()) == int(question.content.split()[0]) and answer.versions == (answer.id,)
        await store.close()


async def test_nothing_is_hung_on_a_message_that_another_program_deleted(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    store = await Store.open(path)
    await store.create_chat("c", TurnOptions())
    await gather(turns_over(store).send("c", "Hello", TurnOptions()))
    user, answer = (await store.read_chat("c")).messages
    with program(path) as other:
        other.tell("delete", "c", user.id)
        assert other.hear()[0] == "deleted"
    with pytest.raises(ChatNotFound):
        await store.begin_turn((user_message("c", "Late", answer.id),), TurnOptions())
    assert (await store.read_chat("c")).messages == ()
    await store.close()


async def test_programs_that_open_an_older_file_at_once_all_open_it(tmp_path: Path) -> None:
    path = tmp_path / "chats.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.executescript(f"BEGIN; {MIGRATIONS[0]} PRAGMA user_version = 1; COMMIT;")
    connection.close()
    with ExitStack() as stack:
        others = [stack.enter_context(program(path)) for _ in range(3)]
        for number, other in enumerate(others):
            other.tell("chat", f"c{number}")
            assert other.hear() == ["done"]
    store = await Store.open(path)
    assert store.notices == () and len(await store.list_chats()) == 3
    assert await store.database.read(lambda db: db.execute("PRAGMA user_version").fetchone()[0]) == VERSION
    await store.close()
