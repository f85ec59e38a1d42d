"""The published streaming trainer, for its unmodified client, over MIA's learner."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from fastapi import Request, Response

from mia.errors import InputError, TrainingError
from mia.servers.guard import MIB, App, Guard, Limits
from mia.servers.metrics import Metrics
from mia.servers.reference_app import answer, published, read, turn
from mia.servers.reference_codec import decoded
from mia.servers.reference_learner_wire import (
    Buffered,
    Health,
    Saved,
    Stepped,
    Submitting,
    SubmittingBatch,
    number,
    questions,
    said,
)
from mia.servers.reference_trainer import Trainer
from mia.types import Question

BODY = 32 * MIB
"""Of one request: token ids of 32 long prompts take a third of it."""
SECONDS = 7200.0
"""For one request: as long as the published client waits."""
AT_ONCE = 4
"""Requests; they are worked on one after the other in any case."""
_ENDLESS = 100_000_000
"""Updates; how the published trainer says that it goes on for as long as somebody submits."""


def app(
    trainer: Trainer,
    token: str | None = None,
    names: frozenset[str] = frozenset(),
    seconds: float = SECONDS,
) -> App:
    """The service as an ASGI app. No request takes longer than so many seconds."""
    metrics = Metrics()
    api = published("MIA as the published streaming trainer", metrics)
    routes = _Routes(trainer, metrics, seconds)
    api.get("/health")(routes.health)
    api.post("/submit_sample")(routes.submit_sample)
    api.post("/submit_batch")(routes.submit_batch)
    api.post("/save_checkpoint")(routes.save_checkpoint)
    return Guard(api, token, names, Limits(body=BODY, at_once=AT_ONCE, longest_wait=seconds))


class _Routes:
    """What each route does."""

    def __init__(self, trainer: Trainer, metrics: Metrics, seconds: float) -> None:
        self._trainer = trainer
        self._metrics = metrics
        self._seconds = seconds

    async def health(self) -> Response:
        """How far it is."""
        waiting, attempts = await asyncio.to_thread(lambda: self._trainer.waiting)
        preset = self._trainer.preset
        return answer(
            Health(
                status="ok",
                global_steps=self._trainer.updates + 1,
                total_training_steps=preset.steps or _ENDLESS,
                train_batch_size=preset.questions,
                rollout_n=preset.attempts,
                rollout_buffer_samples=attempts,
                rollout_buffer_len=waiting,
            )
        )

    async def submit_sample(self, request: Request) -> Response:
        """Attempts questions, and learns when there are enough."""
        async with turn(self._metrics, "submit_sample", self._seconds):
            told = await read(request, Submitting)
            epoch, finish = number(told.epoch), said(told.finish)
            asked = self._asked(told.rollout)
            return await self._submitted(asked, epoch, finish, said(told.flush_partial))

    async def submit_batch(self, request: Request) -> Response:
        """Attempts questions, and learns from them alone."""
        async with turn(self._metrics, "submit_batch", self._seconds):
            told = await read(request, SubmittingBatch)
            epoch, finish = number(told.epoch), said(told.finish)
            asked = self._asked(told.batch)
            return await self._submitted(asked, epoch, finish, partial=True, apart=True)

    async def save_checkpoint(self) -> Response:
        """Makes a version of the policy as it is."""
        async with turn(self._metrics, "save_checkpoint", self._seconds):
            try:
                saved = await self._trainer.publish()
            except TrainingError as error:
                steps = self._trainer.updates + 1
                return answer(Saved(ok=False, error=str(error), global_steps=steps), 400)
            return answer(Saved(ok=True, checkpoint_global_step=saved, global_steps=saved + 1))

    async def _submitted(
        self,
        asked: list[Question],
        epoch: int,
        finish: bool,
        partial: bool,
        apart: bool = False,
    ) -> Response:
        step = await self._trainer.submit(asked, epoch, partial=partial, apart=apart)
        if finish and self._trainer.updates:
            await self._trainer.publish()
        steps = self._trainer.updates + 1
        if step is None:
            waiting, _ = await asyncio.to_thread(lambda: self._trainer.waiting)
            return answer(
                Buffered(
                    status="rollout", global_steps=steps, rollout_buffer_len=waiting, epoch=epoch
                )
            )
        metrics = step.metrics
        return answer(
            Stepped(status="step", metrics=metrics, global_steps=steps, done=finish, epoch=epoch)
        )

    def _asked(self, columns: Mapping[str, msgspec.Raw]) -> list[Question]:
        """What a request asks. Raises InputError."""
        asked, most = questions(decoded(columns)), self._trainer.preset.questions
        if len(asked) > most:
            raise InputError(f"a request has at most {most} questions, which is one update's")
        return asked
