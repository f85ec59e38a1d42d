"""Doubles for tests of MIA and of what is built on it: no network, no weights, no chance."""

from mia.testing import faults
from mia.testing.faults import Fault
from mia.testing.models import (
    Asked,
    MemoryRecord,
    ScriptedModel,
    ScriptError,
    ToyEmbedder,
    ToyMemory,
    ToyPlanMemory,
    ToySearch,
)
from mia.testing.providers import ProviderStandIns
from mia.testing.server import FaultServer, Received
from mia.testing.vllm import VllmStandIn

__all__ = [
    "Asked",
    "Fault",
    "FaultServer",
    "MemoryRecord",
    "ProviderStandIns",
    "Received",
    "ScriptError",
    "ScriptedModel",
    "ToyEmbedder",
    "ToyMemory",
    "ToyPlanMemory",
    "ToySearch",
    "VllmStandIn",
    "faults",
]
