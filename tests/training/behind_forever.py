"""A process for the kill tests: learns behind a server in the tiny world, at the priority of a
test. Arguments: the settings, the corpus, and the adapter to begin with."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from tests.training.test_workshop import order

from mia.cli.output import note
from mia.cli.serve_behind import until
from mia.config import load
from mia.models.torch_local import libraries
from mia.training.giving_way import GivingWay
from mia.training.guards import Limits
from mia.training.served import Service, learn_behind
from mia.training.workshop import Workshop

LOOSE = Limits(kl=100.0, entropy=0.0, length=100.0, canary_every=1)


def service(begins: str) -> Service:
    """The same wherever it runs."""
    return Service(order=order("planner", "served", begins, questions=2, attempts=4), limits=LOOSE)


def main() -> None:
    libraries()[0].set_num_threads(1)
    config, corpus, begins = sys.argv[1:]
    shop = Workshop(load(Path(config), {}), Path(corpus), False, note)
    way = GivingWay()
    learn_behind(shop, service(begins), note, partial(until, way), way)


if __name__ == "__main__":
    main()
