"""What a model would really read: the rendered prompt as text. Opens the tokenizer only, never the weights."""

from pathlib import Path

from mlx_harmony.records import Prompt
from mlx_harmony.worker.device import prepare


def raw_prompt(model_path: str, prompt: Prompt) -> str:
    """decode(prompt ids), control tokens as text. Raises LoadFailed for a broken folder, InvalidRequest for what cannot be rendered."""
    prepare()
    from mlx_harmony.worker.detect import choose_format
    from mlx_harmony.worker.folder import check_folder
    from mlx_harmony.worker.load import open_tokenizer
    from mlx_harmony.worker.tokens import Tokens

    folder = check_folder(model_path)
    tokenizer = open_tokenizer(folder)
    rendered = choose_format(Path(folder.path), tokenizer).render(prompt)
    return Tokens(tokenizer).text_of(rendered.tokens)
