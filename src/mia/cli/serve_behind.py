"""`mia serve behind`: the process that learns behind a server, which starts it and ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from contextlib import suppress
from functools import partial
from typing import Annotated, get_args

import typer

from mia.cli import options
from mia.cli.learn import Canary, Guard, canaries, preset_of
from mia.cli.output import note
from mia.cli.train_options import Base, Device, From, Reward, Set, set_fields
from mia.errors import InputError
from mia.models.shared import Replies
from mia.models.torch_local import libraries
from mia.team import House
from mia.training.bench import Order
from mia.training.embedded import EMBEDDED
from mia.training.giving_way import GivingWay
from mia.training.guards import Limits
from mia.training.served import KEEP, NAME, Judging, Service, learn_behind
from mia.training.streams import has_weights
from mia.training.workshop import Workshop

_FAREWELL = 10.0
"""Seconds for the step at hand once nobody is there any more; what is lost of it is done again."""
_FEW = 4
"""Cores. Where there are more, there is room for who learns beside who answers."""
_STDIN = 0
"""Its descriptor: what Python makes of it waits for whoever reads it when the process ends."""
_JUDGES: tuple[Judging, ...] = get_args(Judging)


def behind(
    name: Annotated[str, typer.Option("--name", help="Of the server.")] = NAME,
    judge: Annotated[str, typer.Option("--judge", help="feedback, panel or vote.")] = "feedback",
    preset: Annotated[str | None, typer.Option("--preset")] = None,
    changes: Set = None,
    guards: Guard = None,
    canary: Canary = None,
    base: Base = None,
    begins: From = None,
    device: Device = "auto",
    reward: Reward = "",
    keep: Annotated[int, typer.Option("--keep", min=1, help="Versions that stay.")] = KEEP,
    explore_per_day: Annotated[
        int, typer.Option("--explore-per-day", min=0, help="Questions; 0 for no bound.")
    ] = 0,
    corpus: options.Corpus = None,
    web: Annotated[bool, typer.Option("--web/--no-web", help="Search the web.")] = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Learns behind a server, which starts it; ends when its stdin does, or at SIGTERM."""
    if judge not in _JUDGES:
        raise InputError(f"there is no judge {judge!r}; there are {', '.join(_JUDGES)}")
    judging: Judging = judge
    loaded, way = options.settings(config, home, namespace), GivingWay()
    replies = Replies(before=way.passed)
    shop = Workshop(loaded, options.corpus_of(loaded, corpus), web, note, replies)
    with House(loaded, say=note) as house:
        watched = [] if canary is None else canaries(canary, house)
    service = Service(
        order=Order(
            role="planner", preset=preset_of(preset, base, changes or (), "gold", shop),
            name=name, data="what people asked", base=base or EMBEDDED,
            begins=begins or "current", device=device, reward=reward,
        ),
        judging=judging,
        limits=set_fields(Limits(canary_every=1), guards or (), "--guard"),
        canary=watched, keep=keep, a_day=explore_per_day,
    )  # fmt: skip
    _stand_back()
    if has_weights(shop, service.order):
        libraries()[0].set_num_threads(loaded.settings.threads or 1)
    learn_behind(shop, service, note, partial(until, way), way)


def _stand_back() -> None:
    """Whoever answers comes first."""
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):  # some containers refuse it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def until(way: GivingWay) -> asyncio.Event:
    """Set at SIGTERM, and when whoever started this is gone; then the process ends in any case.
    Until then whoever started it may want to go first."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def watch() -> None:
        _read_to_end(way)
        with suppress(RuntimeError):  # the loop is closed: it ends by itself
            loop.call_soon_threadsafe(stop.set)
        time.sleep(_FAREWELL)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    return stop


def _read_to_end(way: GivingWay) -> None:
    """Obeys what stdin says: 1 to stand still, 0 to go on."""
    few = (os.cpu_count() or 1) <= _FEW
    with suppress(OSError):  # there is none
        while said := os.read(_STDIN, 4096):
            if few and said.endswith(b"1"):
                way.stop()
            else:
                way.go()
    way.go()
