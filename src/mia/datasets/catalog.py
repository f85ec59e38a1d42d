"""The data sets that MIA knows."""

from __future__ import annotations

from mia.datasets.bamboogle import BAMBOOGLE
from mia.datasets.dataset import DataSet
from mia.datasets.frames import FRAMES
from mia.datasets.gaia import GAIA
from mia.datasets.hotpotqa import HOTPOTQA
from mia.datasets.musique import MUSIQUE
from mia.datasets.popqa import POPQA
from mia.datasets.published import FVQA, INFOSEEK, LIVEVQA, MMSEARCH, SIMPLEVQA
from mia.datasets.simpleqa import SIMPLEQA
from mia.datasets.strategyqa import STRATEGYQA
from mia.datasets.two_wiki import TWO_WIKI
from mia.errors import ConfigError

KNOWN = (
    HOTPOTQA, TWO_WIKI, MUSIQUE, POPQA, BAMBOOGLE, FRAMES, SIMPLEQA, STRATEGYQA, GAIA,
    FVQA, INFOSEEK, SIMPLEVQA, LIVEVQA, MMSEARCH,
)  # fmt: skip


def find(name: str) -> DataSet | None:
    """The set of that name; None where none is known by it."""
    return next((each for each in KNOWN if each.name == name), None)


def known(name: str) -> DataSet:
    """Raises ConfigError for a name that is not in the catalog."""
    found = find(name)
    if found is None:
        names = ", ".join(each.name for each in KNOWN)
        raise ConfigError(f"no data set is called {name!r}; there are: {names}")
    return found
