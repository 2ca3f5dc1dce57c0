"""Streams one answer from a running server with the official OpenAI client: thinking first, then the answer, then what it cost.

Start the server (`make run`), then: python examples/server_client.py "What can you do?"
"""

import argparse

from openai import OpenAI


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", nargs="?", default="What does the temperature slider do?")
    parser.add_argument("--server", default="http://127.0.0.1:7860", help="where MLX Harmony said it is ready")
    parser.add_argument("--model", default="starter")
    args = parser.parse_args()

    client = OpenAI(base_url=f"{args.server}/v1", api_key="none")
    stream = client.chat.completions.create(
        model=args.model,
        messages=[{"role": "user", "content": args.question}],
        stream=True,
        stream_options={"include_usage": True},
    )
    thinking = False
    for chunk in stream:
        for choice in chunk.choices:
            # `reasoning` is not in OpenAI's types: the client keeps what it does not know as an extra attribute.
            thought = getattr(choice.delta, "reasoning", None) or ""
            if thought and not thinking:
                print("[thinking] ", end="")
                thinking = True
            if choice.delta.content and thinking:
                print("\n[answer] ", end="")
                thinking = False
            print(thought + (choice.delta.content or ""), end="", flush=True)
        if chunk.usage:
            print(f"\n[{chunk.usage.prompt_tokens} tokens read, {chunk.usage.completion_tokens} written]")


if __name__ == "__main__":
    main()
