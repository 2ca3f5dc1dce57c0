"""Where the links of a folder lead: as `realpath` says, but each folder on the way is looked at once for all of them. Reads links only."""

# A Path for each of many files costs more than the looking.
# ruff: noqa: PTH114, PTH115, PTH118

import os


class Links:
    """The links of one folder, while nothing moves."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.realpath(folder)
        self._known: dict[str, str] = {}

    def real(self, name: str) -> str:
        """The real path of what is called so in the folder, also where nothing is there."""
        path = os.path.join(self._folder, name)
        try:
            into, last = os.path.split(os.path.join(self._folder, os.readlink(path)))
        except OSError:
            return path
        if last in ("", os.curdir, os.pardir):
            return os.path.realpath(path)
        if into not in self._known:
            self._known[into] = os.path.realpath(into)
        target = os.path.join(self._known[into], last)
        return os.path.realpath(path) if os.path.islink(target) else target
