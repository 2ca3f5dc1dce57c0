"""`python -m mlx_harmony.worker.token_count TOKENIZER`: writes how many tokens the text on stdin has. Started by the engine.

A tokenizer belongs to a model and is not trusted: this process may end over it, in time or memory, and costs nobody anything. It imports no
mlx, so it starts in a moment.
"""

import contextlib
import resource
import sys

from tokenizers import Tokenizer

CPU_S = 20
MEMORY_BYTES = 4 * 1024**3


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    with contextlib.suppress(OSError, ValueError):
        # Not every system knows this limit.
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    tokenizer = Tokenizer.from_file(sys.argv[1])
    tokenizer.no_truncation()
    tokenizer.no_padding()
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    print(len(tokenizer.encode(text, add_special_tokens=False).ids))


if __name__ == "__main__":
    main()
