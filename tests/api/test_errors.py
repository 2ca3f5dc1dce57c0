"""The table from the error tree to HTTP is total, and says of each what a client needs."""

import json

import pytest

from mlx_harmony.api.errors import ANSWERS, HttpRefusal, error_envelope, error_response
from mlx_harmony.errors import ERRORS, ContextTooLong, EngineCrashed, InvalidRequest, ModelNotFound, QueueFull, ShuttingDown


def test_every_error_of_the_tree_has_a_row_and_no_row_is_idle() -> None:
    assert set(ANSWERS) == set(ERRORS)


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_error_becomes_an_answer_with_the_envelope(code: str) -> None:
    response = error_response(ERRORS[code]("What happened.", hint="What to do.", param="field"))
    assert 400 <= response.status_code < 600
    error = json.loads(bytes(response.body))["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] == "What happened. What to do."
    assert error["param"] == "field"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidRequest("x"), 400, "invalid_request"),
        (ContextTooLong("x"), 400, "context_length_exceeded"),
        (ModelNotFound("x"), 404, "model_not_found"),
        (QueueFull("x"), 429, "queue_full"),
        (ShuttingDown("x"), 503, "shutting_down"),
        (EngineCrashed("x"), 503, "engine_crashed"),
        (HttpRefusal(415, "x"), 415, "unsupported_media_type"),
        (HttpRefusal(413, "x"), 413, "request_too_large"),
    ],
)
def test_clients_find_the_status_and_code_they_know(error: InvalidRequest, status: int, code: str) -> None:
    assert error_response(error).status_code == status
    assert error_envelope(error)["error"]["code"] == code


@pytest.mark.parametrize("error", [QueueFull("x"), ShuttingDown("x"), EngineCrashed("x")])
def test_what_can_succeed_later_says_when(error: QueueFull) -> None:
    assert int(error_response(error).headers["retry-after"]) > 0


def test_what_cannot_succeed_later_does_not() -> None:
    assert "retry-after" not in error_response(InvalidRequest("x")).headers
