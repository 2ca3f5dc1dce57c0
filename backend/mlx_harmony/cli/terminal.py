"""What may be written where: data on stdout, everything else on stderr, colours only for a person who wants them."""

import os
from typing import TextIO

DIM = "\x1b[2m"
RED = "\x1b[31m"
BOLD = "\x1b[1m"
RESET = "\x1b[0m"
CLEAR_LINE = "\r\x1b[K"


def wants_colour(stream: TextIO) -> bool:
    """Only a terminal gets colours, and only while NO_COLOR (no-color.org) is unset or empty and the terminal is not a dumb one."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def plain(text: str) -> str:
    """Text from a model or a file, made harmless to show: a terminal's control characters could move the cursor or set its title."""
    return "".join(c if c in "\n\t" or ord(c) >= 160 or 32 <= ord(c) < 127 else "\N{REPLACEMENT CHARACTER}" for c in text)


class Terminal:
    """The two streams of one command."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._colour_out = wants_colour(out)
        self._colour_err = wants_colour(err)

    @property
    def interactive(self) -> bool:
        """Whether a person reads stdout as it is written."""
        return self._out.isatty()

    @property
    def watched(self) -> bool:
        """Whether a person reads stderr as it is written."""
        return self._err.isatty()

    def write(self, text: str) -> None:
        """A piece of data, shown at once; made harmless only where a terminal would act on it."""
        self._out.write(plain(text) if self.interactive else text)
        self._out.flush()

    def line(self, text: str = "") -> None:
        self.write(f"{text}\n")

    def speech(self, speaker: str, text: str) -> None:
        """What was said, after who said it."""
        if self._colour_out:
            self._out.write(f"{BOLD}{plain(speaker)}:{RESET} ")
        else:
            self.write(f"{speaker}: ")
        self.line(text)

    def thinking(self, text: str) -> None:
        """A piece of the model's thinking beside its answer, dim, on stdout."""
        self._out.write(f"{DIM}{plain(text)}{RESET}" if self._colour_out else plain(text))
        self._out.flush()

    def warn(self, text: str) -> None:
        """A line on stderr; names of files and models in it are made harmless as well."""
        print(plain(text), file=self._err, flush=True)

    def fail(self, text: str) -> None:
        """A line on stderr that says what went wrong."""
        print(f"{RED}{plain(text)}{RESET}" if self._colour_err else plain(text), file=self._err, flush=True)

    def aside(self, text: str, *, end: str = "") -> None:
        """A dim piece on stderr: progress, or thinking that is no part of the data."""
        print(f"{DIM}{plain(text)}{RESET}" if self._colour_err else plain(text), end=end, file=self._err, flush=True)

    def hint(self, text: str) -> None:
        """A remark for a person at the keyboard; a script that pipes its input gets none."""
        if self.interactive and self.watched:
            self.aside(text, end="\n")

    def progress(self, text: str) -> None:
        """Rewrites the line that a person watches; "" clears it."""
        self._err.write(f"{CLEAR_LINE}{text}")
        self._err.flush()
