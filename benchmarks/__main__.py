"""`make bench`: the engine beside mlx-lm's own loop, the page beside plain Gradio, the evaluation of the Starter.

Prints Markdown; --write keeps it in docs/.
Each part runs in a process of its own. `--quick` asks a part of the questions and writes fewer tokens.
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
        ("Several streams", streams),
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
        f"{date.today().isoformat()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}."
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a rough picture in a fraction of the time")
    parser.add_argument("--write", action="store_true", help="put the result into docs/benchmarks.md")
    args = parser.parse_args()
    measured = [machine()]
    for heading, command in parts(args.quick):
        print(f"\n## {heading}\n", flush=True)
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        print(done.stdout, flush=True)
        if done.returncode != 0:
            return done.returncode
        measured.append(f"## {heading}\n\n`{shlex.join(('python', *command[1:]))}`\n\n{done.stdout.strip()}")
    if args.write:
        head, mark, _ = PAGE.read_text("utf-8").partition(MARK)
        PAGE.write_text(f"{head}{mark}\n\n" + "\n\n".join(measured) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
