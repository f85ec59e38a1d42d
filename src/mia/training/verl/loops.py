"""Episodes for verl: one of ours per attempt, on a policy that verl serves, as the samples that
verl learns from. The only module that a worker of verl loads by name; it needs verl.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from mia.models.torch_local import TokenizerChat
from mia.training.rewards import Parts
from mia.training.rollouts import Actor, Attempt, attempt, sampled
from mia.training.samples import Sample
from mia.training.verl.crew import hired
from mia.training.verl.policy import ServerPolicy
from mia.training.verl.rows import exercise_in
from mia.types import VerdictValue

_verl: Any = import_module("verl.experimental.agent_loop.agent_loop")


class EpisodeLoop(_verl.AgentLoopBase):
    """Attempts one exercise. verl makes a new one for every attempt."""

    def __init__(self, *given: Any, crew: str, **named: Any) -> None:
        """`crew` is the file that describes who takes part."""
        super().__init__(*given, **named)  # pyright: ignore[reportUnknownMemberType]
        self._crew = hired(crew)

    async def run(self, sampling_params: Mapping[str, Any], **row: Any) -> list[Any]:
        """An AgentLoopOutput a conversation of the episode, the last one last; all bear the reward
        of the episode. None where it could not be judged: verl then leaves the attempt out of its
        group. Raises what the searches and endpoints raise and no episode can go on from; verl
        then counts the attempt as failed."""
        rollout = self.rollout_config
        chat = TokenizerChat(self.tokenizer, rollout.prompt_length + rollout.response_length)
        place = f"{row.get('uid', '')}_{row.get('session_id', 0)}"
        actor = Actor(
            role=self._crew.crew.role,
            cast=self._crew.cast,
            voice=sampled(
                ServerPolicy(self.server_manager, place, sampling_params, chat.end),
                chat,
                rollout.response_length,
            ),
            reward=self._crew.reward,
        )
        attempted = await attempt(
            actor,
            exercise_in(row["exercise"]),
            group=str(row.get("uid", "")),
            seed=_seed(self._crew.crew.seed, row),
            temperature=float(sampling_params["temperature"]),
        )
        if attempted.parts is None:
            return []
        return [_output(attempted, attempted.parts, each) for each in attempted.samples]


def _output(attempted: Attempt, parts: Parts, sample: Sample) -> Any:
    return _verl.AgentLoopOutput(
        prompt_ids=list(sample.prompt_ids),
        response_ids=list(sample.response_ids),
        response_mask=list(sample.mask),
        response_logprobs=list(sample.logprobs),
        reward_score=sample.reward,
        num_turns=len(attempted.rollout.replies),
        metrics=_verl.AgentLoopMetrics(),
        extra_fields={
            "reward_extra_info": _told(attempted, parts),
            "min_global_steps": sample.version,
            "max_global_steps": sample.version,
        },
    )


def _told(attempted: Attempt, parts: Parts) -> dict[str, float]:
    """What verl reports beside the reward. None of it is called `acc`: of that, verl counts an
    attempt that could not be judged as wrong."""
    verdict = attempted.rollout.episode.verdict.value
    return {
        "correct": float(verdict is VerdictValue.CORRECT),
        "samples": float(len(attempted.samples)),
        "truncated": float(attempted.truncated),
        **{f"part_{name}": value for name, value in parts.named.items()},
    }


def _seed(run: int, row: Mapping[str, Any]) -> int:
    """A number for the first draw of an episode; its later ones count on from there. It depends on
    the run's seed, the step, the exercise and the number of the attempt."""
    parts: Sequence[object] = (
        run,
        row.get("global_steps", 0),
        row.get("index", 0),
        row.get("session_id", 0),
    )
    raw = " ".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(raw, digest_size=7).digest(), "big") << 6
