"""First come, first served; waiting requests hear their place and can be cancelled without the loop."""

import threading

from mlx_harmony.events import Event, Finished, Queued
from mlx_harmony.records import GenerationRequest, TextPrompt
from mlx_harmony.worker.inbox import Inbox


def request(name: str) -> GenerationRequest:
    return GenerationRequest(id=name, prompt=TextPrompt(text="hi"))


class Emitted:
    """An Emit that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []

    def __call__(self, request_id: str, event: Event) -> None:
        self.events.append((request_id, event))


def taken(inbox: Inbox, done: str = "") -> str:
    """The next request, once the seat of `done` is free."""
    inbox.done(done)
    ticket = inbox.take(wait=False)
    assert ticket is not None
    return ticket.request.id


def test_requests_are_taken_in_order_and_hear_their_place() -> None:
    emitted = Emitted()
    inbox = Inbox(emitted)
    for name in "abc":
        inbox.put(request(name))
    assert [taken(inbox), taken(inbox, "a"), taken(inbox, "b")] == ["a", "b", "c"]
    places = [(name, event.position) for name, event in emitted.events if isinstance(event, Queued)]
    assert places == [("b", 1), ("c", 2), ("c", 1)]


def test_a_request_that_need_not_wait_hears_nothing() -> None:
    emitted = Emitted()
    inbox = Inbox(emitted)
    inbox.put(request("a"))
    assert taken(inbox) == "a"
    assert emitted.events == []


def test_cancelling_a_waiting_request_ends_it_at_once_and_moves_the_others_up() -> None:
    emitted = Emitted()
    inbox = Inbox(emitted)
    for name in "abc":
        inbox.put(request(name))
    assert taken(inbox) == "a"
    emitted.events.clear()
    inbox.cancel("b")
    assert [name for name, event in emitted.events if isinstance(event, Finished) and event.reason == "cancelled"] == ["b"]
    assert ("c", Queued(position=1)) in emitted.events
    assert not inbox.cancelled("a")
    assert taken(inbox, "a") == "c"


def test_cancelling_the_running_request_ends_only_that_one() -> None:
    inbox = Inbox(Emitted())
    inbox.put(request("a"))
    inbox.put(request("b"))
    assert taken(inbox) == "a"
    inbox.cancel("a")
    assert inbox.cancelled("a")
    assert not inbox.cancelled("b")
    assert taken(inbox, "a") == "b"
    assert not inbox.cancelled("b")
    assert not inbox.cancelled("a")


def test_cancelling_an_unknown_request_changes_nothing() -> None:
    inbox = Inbox(Emitted())
    inbox.put(request("a"))
    inbox.cancel("stranger")
    assert taken(inbox) == "a"
    assert not inbox.cancelled("a")


def test_closing_wakes_whoever_waits_for_a_request() -> None:
    inbox = Inbox(Emitted())
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(inbox.take()))
    thread.start()
    inbox.close()
    thread.join(5)
    assert seen == [None]
    assert inbox.closed
    assert inbox.cancelled("anyone")


def test_as_many_are_taken_as_there_are_seats_and_the_others_hear_their_place() -> None:
    emitted = Emitted()
    inbox = Inbox(emitted, seats=2)
    for name in "abcd":
        inbox.put(request(name))
    assert [taken(inbox), taken(inbox)] == ["a", "b"]
    assert inbox.take(wait=False) is None
    assert [(name, event.position) for name, event in emitted.events if isinstance(event, Queued)] == [("c", 1), ("d", 2)]
    assert taken(inbox, "b") == "c"
    assert inbox.take(wait=False) is None


def test_a_question_for_a_length_needs_no_seat_and_goes_first() -> None:
    inbox = Inbox(Emitted())
    inbox.put(request("a"))
    inbox.put(request("b"))
    assert taken(inbox) == "a"
    inbox.put_count(request("length"))
    assert taken(inbox) == "length"
    assert inbox.take(wait=False) is None
