"""The guesses of one answer: who makes them, how many are worth making, and what came of them. Knows no caches and no model.

Guesses are only ever checked against what the answer's own sampler draws, so they change when tokens come and never which.
"""

from collections.abc import Sequence
from typing import Protocol

from mlx_harmony.records import Speculated, SpeculationKind
from mlx_harmony.worker.speculation.acceptance import Acceptance
from mlx_harmony.worker.speculation.gain import MOST, Choice
from mlx_harmony.worker.speculation.ngrams import Ngrams

NO_DRAFT_MODEL = "No draft model was chosen, so none guessed for this answer."
EXPECTED = 512
"""Tokens that an answer is taken to have at most, where it is weighed what a drafter may read first: few are longer."""
TOO_LONG = "The chat is too long for the draft model, so it did not guess."


class Drafter(Protocol):
    """Makes guesses. `saw` tells it each token of the answer; `each_s` is what one guess costs, in seconds.

    While it has to read before it can guess, which takes `unread_s`, to be asked for guesses has it read a part, and it makes none.
    """

    kind: SpeculationKind

    @property
    def each_s(self) -> float: ...

    @property
    def unread_s(self) -> float: ...

    def saw(self, token: int) -> None: ...

    def chances(self, count: int) -> list[float]: ...

    def guess(self, count: int) -> list[int]: ...

    def checked(self, guessed: int, right: int) -> None: ...

    def close(self) -> None: ...


class Lookup:
    """Guesses that the conversation goes on as it did before. Its index is made when it is first needed, not before the first token."""

    kind: SpeculationKind = "lookup"
    each_s = unread_s = 0.0

    def __init__(self, prompt: Sequence[int]) -> None:
        self._tokens = list(prompt)
        self._made: Ngrams | None = None
        self._acceptance = Acceptance()

    def saw(self, token: int) -> None:
        ngrams = self._ngrams()
        if ngrams.expected is not None:
            self._acceptance.learn(ngrams.run, ngrams.expected == token)
        ngrams.saw(token)

    def chances(self, count: int) -> list[float]:
        ngrams = self._ngrams()
        return [] if ngrams.expected is None else self._acceptance.chances(ngrams.run, count)

    def guess(self, count: int) -> list[int]:
        return self._ngrams().guess(count)

    def checked(self, guessed: int, right: int) -> None:
        """Nothing to learn: it hears of every token anyway."""

    def close(self) -> None:
        """Nothing to keep."""

    def _ngrams(self) -> Ngrams:
        if self._made is None:
            self._made = Ngrams(self._tokens)
            self._tokens = []
        return self._made


class Drafting:
    """One answer's drafters. `note` says what a person should know of them; without drafters that is why there are none."""

    def __init__(self, drafters: Sequence[Drafter], choice: Choice, most: int = MOST, note: str = "", model: str = "") -> None:
        self.choice = choice
        self._drafters = tuple(drafters)
        self._most = most
        self._note = note
        self._model = model
        self._by: Drafter | None = None
        self._kinds: dict[SpeculationKind, None] = {}
        self._drafted = self._accepted = self._passes = self._declined = 0

    def saw(self, token: int) -> None:
        """One more token of the answer."""
        for drafter in self._drafters:
            drafter.saw(token)

    def hopes(self, room: int, redone: bool) -> bool:
        """Whether there is so much to guess, before the token under way is known, that it is worth waiting for it."""
        return self._chosen(room, redone)[1] > 0

    def guess(self, room: int, redone: bool) -> list[int]:
        """The next tokens, at most `room`, where guessing them pays; `redone` as in Choice."""
        self._by, count = self._chosen(room, redone)
        return self._by.guess(count) if self._by is not None else []

    def checked(self, guessed: int, right: int) -> None:
        """A pass over so many guesses showed so many of them right."""
        if self._by is None:
            return
        self._by.checked(guessed, right)
        self._kinds[self._by.kind] = None
        self._drafted += guessed
        self._accepted += right
        self._passes += 1

    def give_up(self, note: str) -> None:
        """Guess no more, for the reason in the note."""
        self.close()
        self._drafters, self._note = (), note

    def close(self) -> None:
        """The answer is over."""
        for drafter in self._drafters:
            drafter.close()

    def record(self) -> Speculated:
        """What came of it so far."""
        kinds = list(self._kinds) or [drafter.kind for drafter in self._drafters[:1]]
        return Speculated(
            kind="mixed" if len(kinds) > 1 else (kinds[0] if kinds else "none"),
            drafted=self._drafted,
            accepted=self._accepted,
            passes=self._passes,
            draft_model=self._model,
            paused=self._declined > self._passes,
            note=self._note,
        )

    def _chosen(self, room: int, redone: bool) -> tuple[Drafter | None, int]:
        """The drafter that is surest of its next guess of those whose guesses pay, and how many."""
        offers = [(drafter, drafter.chances(min(room, self._most))) for drafter in self._drafters]
        for drafter, chances in sorted(offers, key=lambda offer: offer[1][:1], reverse=True):
            pays = self._pays_to_read(drafter, chances, room, redone)
            if pays and (count := self.choice.worth(chances, drafter.each_s, redone)) > 0:
                return drafter, count
            self._declined += bool(chances)
        return None, 0

    def _pays_to_read(self, drafter: Drafter, chances: Sequence[float], room: int, redone: bool) -> bool:
        """Whether what a drafter has to read first is worth it for the rest of the answer. It is not read for a mere trial."""
        unread_s = drafter.unread_s
        return not unread_s or self.choice.saves(chances, drafter.each_s, redone) * min(room, EXPECTED) > unread_s
