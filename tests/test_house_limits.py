"""The size of things: short files, short functions, few parameters, and broad excepts only where the house allows them."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PRODUCT = [ROOT / "backend" / "mlx_harmony", ROOT / "ui" / "mlx_harmony_ui"]

MOST_FILE_LINES = 400
MEDIAN_FILE_LINES = 150
MOST_FUNCTION_LINES = 60
P95_FUNCTION_LINES = 40
MOST_PARAMETERS = 6
BROAD = {"Exception", "BaseException"}
BROAD_ALLOWED = {
    "worker/guard.py": 1,  # one raising request fails alone
    "cli/front.py": 1,  # a plugin's load
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(*roots: Path) -> list[Path]:
    return sorted(path for root in roots for path in root.rglob("*.py"))


def functions() -> Iterator[tuple[Path, Function]]:
    for path in files(*PRODUCT):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, Function):
                yield path, node


def lines_of(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def parameters_of(node: Function) -> int:
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in every)


def place(path: Path, node: ast.stmt | ast.ExceptHandler) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def test_no_file_is_longer_than_the_house_allows() -> None:
    long = {str(path.relative_to(ROOT)): count for path in files(*PRODUCT, ROOT / "tests") if (count := _lines(path)) > MOST_FILE_LINES}
    assert long == {}


def test_the_median_file_is_short() -> None:
    assert statistics.median(_lines(path) for path in files(*PRODUCT) if path.name != "__init__.py") < MEDIAN_FILE_LINES


def test_no_function_is_longer_than_the_house_allows() -> None:
    assert {place(path, node): lines_of(node) for path, node in functions() if lines_of(node) > MOST_FUNCTION_LINES} == {}


def test_nineteen_functions_of_twenty_are_short() -> None:
    lengths = sorted(lines_of(node) for _, node in functions())
    assert lengths[int(len(lengths) * 0.95)] < P95_FUNCTION_LINES


def test_no_function_takes_too_many_parameters() -> None:
    assert {place(path, node): node.name for path, node in functions() if parameters_of(node) > MOST_PARAMETERS} == {}


def test_broad_excepts_stand_only_where_the_house_allows_them() -> None:
    found: dict[str, int] = {}
    for root in PRODUCT:
        for path in files(root):
            count = sum(_is_broad(node) for node in ast.walk(ast.parse(path.read_text("utf-8"))))
            if count:
                found[path.relative_to(root).as_posix()] = count
    too_many = {name: count for name, count in found.items() if count > BROAD_ALLOWED.get(name, 0)}
    assert too_many == {}


def test_every_module_says_what_it_owns() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in files(*PRODUCT)
        if (text := path.read_text("utf-8")).strip() and not ast.get_docstring(ast.parse(text))
    ]
    assert silent == []


def test_nothing_is_called_utils() -> None:
    vague = ("util", "helper", "manager", "misc", "common")
    assert [str(path) for path in files(*PRODUCT) if any(word in path.stem for word in vague)] == []


def _lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def _is_broad(node: ast.AST) -> bool:
    """Whether it catches anything and swallows it; cleaning up and raising the same again is no broad except."""
    if not isinstance(node, ast.ExceptHandler) or _raises_again(node.body[-1]):
        return False
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(name is None or (isinstance(name, ast.Name) and name.id in BROAD) for name in caught)


def _raises_again(last: ast.stmt) -> bool:
    return isinstance(last, ast.Raise) and last.exc is None
