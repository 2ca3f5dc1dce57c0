"""`make bench`: the engine beside mlx-lm's own loop, the page beside plain Gradio, the evaluation of the Starter.

Prints Markdown; --write keeps it in docs/.
Each part runs in a process of its own and keeps its own date. `--quick` asks a part of the questions and writes fewer tokens.
"""

import argparse
import os
import platform
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
MARK = "<!-- measured -->"
ELSEWHERE = ("On CUDA",)
"""Sections that come from another machine: `benchmarks.cuda_table` prints them, and they stand after the others."""


def parts(quick: bool) -> list[tuple[str, list[str]]]:
    """Heading and command line of each part."""
    engine = [sys.executable, "-m", "benchmarks.engine", *(["--tokens", "60"] if quick else [])]
    streams = [sys.executable, "-m", "benchmarks.streams", *(["--tokens", "60", "--rounds", "1"] if quick else [])]
    starter = [sys.executable, "assets/starter/recipe/evaluate.py", *(["--quick"] if quick else [])]
    against = [sys.executable, "-m", "benchmarks.against", *(["--quick"] if quick else [])]
    guesses = [sys.executable, "-m", "benchmarks.speculation", *(["--small", "--tokens", "100", "--rounds", "1"] if quick else [])]
    page = [sys.executable, "-m", "benchmarks.page", *(["--quick"] if quick else [])]
    return [
        ("The engine", engine),
        ("On a CPU", [sys.executable, "-m", "benchmarks.cpu", *(["starter"] if quick else [])]),
        ("Several streams", streams),
        ("Over HTTP", [sys.executable, "-m", "benchmarks.served", *(["--rounds", "2", "--tokens", "60"] if quick else [])]),
        ("Beside mlx-lm", against),
        ("Guessing ahead", guesses),
        ("What was read before", [sys.executable, "-m", "benchmarks.cache"]),
        ("The life of a chat", [sys.executable, "-m", "benchmarks.life"]),
        ("Forms of KV", [sys.executable, "-m", "benchmarks.kv"]),
        ("At rest", [sys.executable, "-m", "benchmarks.idle"]),
        ("The page", page),
        ("The Starter", starter),
    ]


def machine() -> str:
    """What it was measured on and when, in one line."""
    return (
        f"{date.today().isoformat()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )


def section(heading: str, command: list[str], measured: str) -> str:
    """A part's place in the page: what was run, on what and when, and what it printed."""
    return f"## {heading}\n\n`{shlex.join(('python', *command[1:]))}` ({machine()})\n\n{measured.strip()}\n"


def with_section(page: str, heading: str, text: str) -> str:
    """The page with this section in the place of the one before it, or in the order of `parts`; all others stay as they were measured."""
    head, mark, tail = page.partition(MARK)
    sections = {each.partition("\n")[0]: f"## {each.strip()}\n" for each in tail.split("\n## ")[1:]}
    sections[heading] = text
    order = [*(known for known, _ in parts(quick=False)), *ELSEWHERE]
    return f"{head}{mark}\n\n" + "\n".join(sections[each] for each in order if each in sections)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a rough picture in a fraction of the time")
    parser.add_argument("--only", default="", metavar="TEXT", help="the parts with this in their heading")
    parser.add_argument("--write", action="store_true", help="put each part that was measured into docs/benchmarks.md")
    args = parser.parse_args()
    chosen = [(heading, command) for heading, command in parts(args.quick) if args.only.lower() in heading.lower()]
    if not chosen:
        parser.error(f"no part is called {args.only!r}; there are: {', '.join(heading for heading, _ in parts(args.quick))}")
    for heading, command in chosen:
        print(f"\n## {heading}\n", flush=True)
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        print(done.stdout, flush=True)
        if done.returncode != 0:
            return done.returncode
        if args.write:
            text = section(heading, command, done.stdout)
            PAGE.write_text(with_section(PAGE.read_text("utf-8"), heading, text), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
