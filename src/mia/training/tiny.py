"""The smallest world in which a Planner and an Executor can learn: the preset `tiny`.

A model of 90,000 weights and a byte a token, questions that one letter answers, and a search that
knows four things. It takes the same way as any model (the same `solve`, rewards, learner and
files), in a minute and without a download, so that everybody can see learning happen.

A question is `find a`. The Planner says which letter to search for, sees `+` (an answer was found)
or `-`, says whether to replan (`yes` or `no`), and may name another letter. The Executor is told
the letter, says what to search for, sees what was found, and says the answer.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from mia.captioners.none import Blind
from mia.errors import MIAError, ModelError
from mia.executor import Budget, Executor, Tools, Watch, unwatched
from mia.judges.exact_match import ExactMatch
from mia.locks import alone
from mia.memories.none import NoMemory
from mia.model import Message, Model, Reply, Sampling, ask
from mia.models.torch_local import Origin, libraries
from mia.planner import Planner
from mia.solve import Team
from mia.tools.text_search import TextSearch
from mia.training.exercises import Exchange, Exercise
from mia.training.rollouts import Cast, Unrecorded
from mia.training.versions import Role
from mia.types import (
    Passage,
    Plan,
    Question,
    Recollection,
    Reflection,
    ToolCall,
    Trajectory,
    Turn,
)

NAME = "tiny"
_LETTERS = "abcd"
_END = "<e>"
_SHORT = Sampling(max_tokens=6)
_TEMPLATE = (
    "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}<e>{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}"
)


def make_base(folder: Path, seed: int = 0) -> Path:
    """The folder with the tiny model, made when it is not there, and there whole or not at all."""
    with alone(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            half = folder.with_name(f"{folder.name}.half")
            shutil.rmtree(half, ignore_errors=True)
            _make(half, seed)
            half.replace(folder)
    return folder


def _make(folder: Path, seed: int) -> None:
    torch, transformers = libraries()
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=257, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
        eos_token_id=0, bos_token_id=0, tie_word_embeddings=True,
        initializer_range=0.1,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():  # tokens must stand apart: an adapter cannot move them
        model.get_input_embeddings().weight.mul_(5)
    model.save_pretrained(folder)
    _tokenizer(transformers).save_pretrained(folder)
    origin = Origin(name=NAME, sha256=f"{NAME}-{seed}")
    (folder / "mia_base.json").write_bytes(msgspec.json.encode(origin))


def _tokenizer(transformers: Any) -> Any:
    """A byte a token."""
    tokenizers = import_module("tokenizers")
    level = tokenizers.pre_tokenizers.ByteLevel
    vocabulary = {token: i for i, token in enumerate((_END, *sorted(level.alphabet())))}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = level(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens([_END])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=_END, pad_token=_END, chat_template=_TEMPLATE
    )


def exercises(count: int, seed: int = 0) -> tuple[Exercise, ...]:
    """So many questions, with a run of each in which everything was said at random: it shows how to
    speak, not what to say."""
    lot = random.Random(seed)
    return tuple(_exercise(number, lot) for number in range(count))


def _exercise(number: int, lot: random.Random) -> Exercise:
    letter = _LETTERS[number % len(_LETTERS)]
    question = Question(text=f"find {letter}", id=f"{NAME}-{number}", answers=(letter.upper(),))
    plan, other = lot.choice(_LETTERS), lot.choice(_LETTERS)
    opening = _opening(question)
    reflecting = (*opening, _said(plan), _seen(lot.choice("+-")))
    wanted = lot.choice(("yes", "no"))
    told = (_asks(plan),)
    searched = lot.choice(_LETTERS)
    found = (*told, _said(searched), _seen(searched.upper()))
    return Exercise(
        question=question,
        correct=True,  # of speaking it is: there is nothing else to be learned from it
        exchanges=(
            Exchange(role="planner", stage="plan", messages=opening, reply=plan),
            Exchange(role="planner", stage="reflection", messages=reflecting, reply=wanted),
            Exchange(
                role="planner", stage="replan", reply=other,
                messages=(*reflecting, _said("yes"), _seen("?")),
            ),
            Exchange(role="executor", stage="act", messages=told, reply=searched),
            Exchange(
                role="executor", stage="act", messages=found, reply=lot.choice(_LETTERS.upper())
            ),
        ),
    )  # fmt: skip


class TinyPlanner(Planner):
    """Asks a model for letters, in one conversation."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def plan(self, question: Question, recollection: Recollection) -> Plan:
        """Raises ModelError for anything but one letter, twice."""
        letter, usage = await ask(self._model, _opening(question), _letter, sampling=_SHORT)
        return Plan(text=letter, usage=usage)

    async def reflect(self, question: Question, plan: Plan, trajectory: Trajectory) -> Reflection:
        """Raises ModelError for anything but yes or no, twice."""
        messages = (*_opening(question), _said(plan.text), _mark(trajectory))
        replans, usage = await ask(self._model, messages, _yes, sampling=_SHORT)
        return Reflection(goal_met=not replans, usage=usage)

    async def replan(
        self,
        question: Question,
        recollection: Recollection,
        plan: Plan,
        trajectory: Trajectory,
        reflection: Reflection,
    ) -> Plan:
        """Raises ModelError for anything but one letter, twice."""
        before = (*_opening(question), _said(plan.text), _mark(trajectory), _said("yes"))
        letter, usage = await ask(self._model, (*before, _seen("?")), _letter, sampling=_SHORT)
        return Plan(text=letter, usage=usage)


class TinyExecutor(Executor):
    """Asks a model what to search for, and what the answer is."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def run(
        self,
        question: Question,
        plan: Plan,
        so_far: tuple[Turn, ...] = (),
        watch: Watch = unwatched,
    ) -> Trajectory:
        """Abstains where what was found is not what the question asks for."""
        tools = Tools((TextSearch(_Things(), 1),), Budget(repeats=9), so_far)
        try:
            asked, usage = await ask(self._model, (_asks(plan.text),), _letter, sampling=_SHORT)
            call = ToolCall(name="search", arguments={"query_list": [asked]})
            observation = await tools.call(call)
            turns = (*so_far, Turn(call=call, observation=observation, usage=usage))
            if not question.text.endswith(f" {asked}"):
                return Trajectory(turns=turns)
            found = (_asks(plan.text), _said(asked), _seen(asked.upper()))
            answer, usage = await ask(self._model, found, _letter, sampling=_SHORT)
        except MIAError as error:
            return Trajectory(turns=so_far, outcome=f"failed:{error.code}", detail=str(error))
        return Trajectory(turns=(*turns, Turn(answer=answer, usage=usage)), outcome="answered")


class ByRule(Model):
    """Plays both parts of this world as they should be played."""

    async def reply(self, messages: Sequence[Message], **_: object) -> Reply:
        """The letter it was told of, or whether to replan."""
        seen = messages[-1].content
        if seen in "+-":
            return Reply(text="no" if seen == "+" else "yes")
        return Reply(text=(messages[0].content if seen == "?" else seen)[-1])


class _Things:
    """A Search that knows four things."""

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        """What a letter stands for."""
        return (Passage(id=query, title=query, text=query.upper()),)

    async def page(self, address: str) -> Passage | None:
        """There are no pages."""
        return None


def cast(role: Role, partner: Callable[[], Model]) -> Cast:
    """The teams of this world: the role in training, and a partner that is asked for at each
    episode."""

    def team(model: Model, exercise: Exercise) -> Team:
        plans, acts = (model, partner()) if role == "planner" else (partner(), model)
        return Team(
            captioner=Blind(),
            memory=NoMemory(),
            planner=TinyPlanner(plans),
            executor=TinyExecutor(acts),
            judge=ExactMatch(),
            record=Unrecorded(),
        )

    return team


def _opening(question: Question) -> tuple[Message, ...]:
    return (Message(role="user", content=question.text),)


def _asks(letter: str) -> Message:
    return Message(role="user", content=f"plan {letter}")


def _said(text: str) -> Message:
    return Message(role="assistant", content=text)


def _seen(text: str) -> Message:
    return Message(role="user", content=text)


def _mark(trajectory: Trajectory) -> Message:
    return _seen("-" if trajectory.answer is None else "+")


def _letter(text: str) -> str:
    if len(text) != 1 or not text.isalpha():
        raise ModelError("one letter")
    return text


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ModelError("yes or no")
    return text == "yes"
