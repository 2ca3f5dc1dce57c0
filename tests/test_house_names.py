"""The public names exist, and each edge's table of errors is total."""

import subprocess
import sys

import pytest

import mlx_harmony
from mlx_harmony.api.errors import ANSWERS
from mlx_harmony.cli.errors import EXIT_CODES
from mlx_harmony.errors import ERRORS, HarmonyError
from mlx_harmony.events import Failed
from mlx_harmony_ui.failures import HEADLINES


@pytest.mark.parametrize("name", mlx_harmony.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(mlx_harmony, name) is not None
    assert name in dir(mlx_harmony)


def test_public_names_are_sorted_and_unique() -> None:
    assert sorted(set(mlx_harmony.__all__)) == mlx_harmony.__all__


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = mlx_harmony.Nothing


def test_importing_the_package_imports_no_room() -> None:
    code = "import sys, mlx_harmony; print([name for name in sys.modules if name.startswith('mlx_harmony.')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("table", [ANSWERS, EXIT_CODES, HEADLINES], ids=["api", "cli", "ui"])
def test_each_edge_maps_every_error(table: dict[str, object]) -> None:
    assert table.keys() == ERRORS.keys()


def test_every_error_has_a_code_of_its_own() -> None:
    def leaves(kind: type[HarmonyError]) -> list[type[HarmonyError]]:
        return [kind, *(leaf for child in kind.__subclasses__() if child.__module__ == "mlx_harmony.errors" for leaf in leaves(child))]

    kinds = leaves(HarmonyError)
    assert len({kind.code for kind in kinds}) == len(kinds) == len(ERRORS)


@pytest.mark.parametrize("code", ERRORS)
def test_an_error_crosses_the_wire_as_itself(code: str) -> None:
    error = ERRORS[code]("It broke.", hint="Mend it.", param="part")
    again = Failed.of(error).error()
    assert type(again) is ERRORS[code]
    assert (again.message, again.hint, again.param) == ("It broke.", "Mend it.", "part")
