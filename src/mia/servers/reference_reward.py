"""The published reward service, for its unmodified clients: registered right answers, MIA's judge,
and the Planner's reward.

A planner's conversation has three messages (plan, run, verdict) or six (and the request for another
plan, that plan, its run); any other was broken off and is worth nothing.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from fastapi import Request, Response

from mia.errors import JudgeError
from mia.judge import Judge
from mia.reading import split_thought
from mia.servers.guard import App, Guard, Limits
from mia.servers.metrics import Metrics
from mia.servers.reference_app import BODY, SECONDS, answer, published, read, turn
from mia.servers.reference_episode import DOWN
from mia.servers.reference_golds import Golds
from mia.servers.reference_memory_wire import readable
from mia.servers.reference_reward_wire import (
    UNNAMED,
    UNREGISTERED,
    Computing,
    Extra,
    Health,
    Registered,
    Registering,
    Scored,
)
from mia.training.rewards import Parts as Worth
from mia.training.rewards import Rollout, Said, planner_reward, wants_replan
from mia.types import (
    Episode,
    Plan,
    Question,
    Reflection,
    Trajectory,
    Turn,
    Verdict,
    VerdictValue,
)

_TAG = re.compile(r"</?think>")
_STRAY = "<tool_call> assistant"
_WHOLE = (3, 6)
"""Messages of a conversation that came to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a reward service works with."""

    judge: Judge
    golds: Golds


def app(
    parts: Parts,
    token: str | None = None,
    names: frozenset[str] = frozenset(),
    seconds: float = SECONDS,
) -> App:
    """The service as an ASGI app. No request takes longer than so many seconds."""
    metrics = Metrics()
    api = published("MIA as the published reward service", metrics)
    routes = _Routes(parts, metrics, seconds)
    api.post("/register_gts")(routes.register_gts)
    api.post("/compute_gt_reward")(routes.compute_gt_reward)
    api.get("/health")(routes.health)
    return Guard(api, token, names, Limits(body=BODY))


class _Routes:
    """What each route does."""

    def __init__(self, parts: Parts, metrics: Metrics, seconds: float) -> None:
        self._judge = parts.judge
        self._golds = parts.golds
        self._metrics = metrics
        self._seconds = seconds

    async def register_gts(self, request: Request) -> Response:
        """Keeps right answers."""
        async with turn(self._metrics, "register_gts", self._seconds):
            entries = (await read(request, Registering)).all
            answers = [(str(entry.data_id), readable(entry.gold)) for entry in entries]
            total = await asyncio.to_thread(self._golds.register, answers)
            return answer(Registered(status="success", registered=len(entries), total=total))

    async def compute_gt_reward(self, request: Request) -> Response:
        """What a planner's conversation is worth. Where the judge cannot tell, that is an error:
        not knowing is no failure of the planner."""
        async with turn(self._metrics, "compute_gt_reward", self._seconds):
            asked = await read(request, Computing)
            told, source = asked.told, asked.data_source
            if told.data_id is None or told.data_id == "":
                return answer(_nothing(told, source, UNNAMED))
            gold = await asyncio.to_thread(self._golds.of, str(told.data_id))
            if not gold:
                return answer(_nothing(told, source, UNREGISTERED))
            texts = [
                readable(each if isinstance(each, str) else each.text)
                for each in told.messages or ()
            ]
            if len(texts) not in _WHOLE:
                return answer(_nothing(told, source))
            question = Question(text=told.question or "", id=str(told.data_id), answers=(gold,))
            rollout = await self._judged(question, texts)
            return answer(_scored(rollout, told, source))

    async def health(self) -> Response:
        """How it is, and how many right answers it knows."""
        count = await asyncio.to_thread(self._golds.count)
        return answer(Health(status="ok", registered_gts=count))

    async def _judged(self, question: Question, texts: list[str]) -> Rollout:
        """The conversation as an episode, both answers judged."""
        plan, wanted = Plan(text=split_thought(texts[0])[1]), wants_replan(texts[2])
        said = [Said(stage="plan", text=texts[0]), Said(stage="reflection", text=texts[2])]
        first, second, replan = _run(texts[1]), None, None
        if len(texts) == max(_WHOLE):
            said.append(Said(stage="replan", text=texts[4]))
            replan, second = Plan(text=split_thought(texts[4])[1]), _run(texts[5])
        runs = [first] if second is None else [first, second]
        verdicts = await asyncio.gather(*(self._verdict(question, plan, run) for run in runs))
        return Rollout(
            episode=Episode(
                id=question.id,
                question=question,
                plan=plan,
                trajectory=first,
                reflection=None if wanted is None else Reflection(goal_met=not wanted),
                replan=replan,
                retrajectory=second,
                verdict=verdicts[-1],
            ),
            replies=tuple(said),
            first_verdict=verdicts[0],
        )

    async def _verdict(self, question: Question, plan: Plan, run: Trajectory) -> Verdict:
        if not run.answer:
            return Verdict(value=VerdictValue.INCORRECT, judge="none", reason="no answer was given")
        if run.answer == DOWN:
            raise JudgeError("the executor's model did not answer, so there is nothing to judge")
        return await self._judge.judge(question, plan, run)


def answer_in(trace: str) -> str:
    """The answer that a run's text gives, in the published order: after the last thought, in its
    tags; else what follows a stray call; else what is left."""
    tags = list(_TAG.finditer(trace))
    rest = trace[tags[-1].end() :] if tags else trace
    _, opened, tagged = rest.partition("<answer>")
    if opened and "</answer>" in tagged:
        rest = tagged.partition("</answer>")[0]
    elif _STRAY in rest:
        rest = rest.partition(_STRAY)[2]
    return " ".join(rest.split())


def _run(trace: str) -> Trajectory:
    """A run that came to an answer, be it an empty one: then the second counts, as published."""
    return Trajectory(turns=(Turn(answer=answer_in(trace)),), outcome="answered")


def _scored(rollout: Rollout, told: Extra, source: object) -> Scored:
    worth = planner_reward(rollout)
    verdict = rollout.episode.verdict
    if worth is None:
        raise JudgeError(f"the judge could not tell whether an answer is right: {verdict.reason}")
    right = verdict.value is VerdictValue.CORRECT
    return _told(worth, "correct" if right else "incorrect", told, source)


def _nothing(told: Extra, source: object, error: str | None = None) -> Scored:
    """What a conversation is worth that says nothing about the planner."""
    return _told(Worth(total=0.0), "incorrect", told, source, error)


def _told(
    worth: Worth, judgement: str, told: Extra, source: object, error: str | None = None
) -> Scored:
    named = worth.named
    return Scored(
        score=worth.total,
        judgement=judgement,
        format_score=named.get("format", 0.0),
        decision_score=named.get("decision", 0.0),
        is_answer1_correct=named.get("acc1", 0.0) > 0,
        is_answer2_correct=named.get("acc2", 0.0) > 0,
        data_source=source,
        data_id=told.data_id,
        error=error,
    )
