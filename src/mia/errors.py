"""One class for each border that can be crossed badly. `str(error)` is one line that says what
happened and, where there is something to do, what to do."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec

UPDATE = "update MIA the way it was installed; the `mia` of the public index is another project"
"""What to do where a newer MIA is needed."""


class MIAError(Exception):
    """Anything MIA raises on purpose."""

    code = "error"
    """A short stable name; it becomes `failed:<code>` on an episode."""
    exit_code = 1
    """What a command ends with."""


class ConfigError(MIAError):
    """Settings or arguments that cannot be used."""

    code = "config"
    exit_code = 2


class InputError(MIAError):
    """A file or a question that cannot be read."""

    code = "input"
    exit_code = 2


class MissingError(MIAError):
    """Something that must be fetched or built first; the message names the command."""

    code = "missing"
    exit_code = 3


class ModelError(MIAError):
    """A model that could not be reached, or whose reply could not be read."""

    code = "model"
    exit_code = 4


class ToolError(MIAError):
    """A tool call that cannot be carried out; the message goes back to the model."""

    code = "tool"


class SearchError(MIAError):
    """A search engine that did not answer."""

    code = "search"
    exit_code = 4


class JudgeError(MIAError):
    """A judge whose verdict could not be read."""

    code = "judge"
    exit_code = 4


class StoreError(MIAError):
    """A store that could not be opened, read or written."""

    code = "store"
    exit_code = 5


class TrainingError(MIAError):
    """A run of training that cannot go on; what was published before stands."""

    code = "training"
    exit_code = 6


class BudgetError(MIAError):
    """A run that used up its calls, tokens, bytes, time or money."""

    code = "budget"


def installing(*packages: str) -> str:
    """The command that installs packages for the very Python that runs here: another `pip` on the
    path would put them where MIA does not see them."""
    python = shlex.quote(sys.executable)
    pip = f"{python} -m pip install" if find_spec("pip") else f"uv pip install --python {python}"
    return f"{pip} {shlex.join(packages)}"


def adding(*extras: str) -> str:
    """The command that adds extras to this installation. It names the version that is here: where
    an extra cannot be had, pip would else go on with other versions, and take the project that has
    our name on the public index."""
    from importlib.metadata import version  # which takes longer to load than all of this module

    return installing(f"mia[{','.join(extras)}]=={version('mia')}")
