"""Compresses an episode into a workflow, without a model: how it went, never what was found.

Runs that ask the steps of a typed plan one after another keep the plan's numbering; all others are
numbered by their lookups. Everything stored is
built from templates and fixed words, so no answer, name, number or address of the run gets in.
Purposes come from the plan's steps; free thoughts are not read, they are full of facts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from mia.memories.workflow.classify import category
from mia.memories.workflow.template import Veil
from mia.planner import plain, render_plan
from mia.types import (
    Episode,
    Passage,
    Plan,
    Step,
    Turn,
    VerdictValue,
    Workflow,
    WorkflowStep,
)

MAX_STEPS = 12
MAX_WORDS = 300
_QUERIES = 3
"""Queries of one call that are kept; the rest are variants."""
_QUERY_WORDS = 40
NOTHING = "nothing"
_TEXT = "some text"
"""What a lookup yields that the executor did not read out by itself."""
_CITED = re.compile(r"#\d+")
_BRACKETS = re.compile(r"\[([^\[\]]+)\]")
_TOOL = re.compile(r"[a-z]+(_[a-z]+)*")
_DATE = re.compile(
    r"\b(january|february|march|april|may|june|july|august|september|october|november|december)\b"
    r".*\d|\b\d{4}-\d\d|\b[12]\d{3}\b",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"\bwhere\b|\b(which|what) (is the )?(country|city|town|place|state|county|continent|village)\b"
    r"|\bplace of\b|\bcapital\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\bhow (many|much|old|tall|long|far|high|large|big)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Lookup:
    """One use of a tool, under the number that templates cite it by."""

    number: int
    tool: str
    queries: tuple[str, ...]
    purpose: str | None
    """The plan step it serves; None where the plan has no steps."""
    found: str | None
    text: str
    """What the tool said."""
    blank: bool
    """The tool said nothing of use."""


def compress(episode: Episode, namespace: str, id: str) -> Workflow | None:
    """The workflow of a judged episode; None when it holds no plan or no lookup to learn from."""
    plan = episode.final_plan
    if plan is None:
        return None
    lookups = _lookups(episode, plan)
    if not any(lookup.tool for lookup in lookups):
        return None
    veil = _veil(episode, plan, lookups)
    question = veil.hide(episode.question.text)
    template = plan_template(plan, veil)
    steps = tuple(_step(lookup, veil) for lookup in lookups)
    correct = episode.verdict.value is VerdictValue.CORRECT
    recalled = (*episode.recollection.successes, *episode.recollection.failures)
    return Workflow(
        id=id,
        namespace=namespace,
        question=episode.question.text,
        question_template=question,
        category=category(episode.question.text),
        steps=steps,
        summary=_summary(steps, lookups),
        plan=template,
        outcome="success" if correct else "failure",
        verdict_kind=episode.verdict.judge,
        confidence=episode.verdict.confidence,
        caption=episode.question.caption,
        modality=episode.question.modality,
        lesson="" if correct else _lesson(episode, steps, lookups),
        task=episode.question.task,
        question_id=episode.question.id,
        created=episode.started,
        source_episode=episode.id,
        source_domains=domains(episode),
        source_hashes=hashes(episode),
        parents=tuple(item.workflow.id for item in recalled),
    )


def _lookups(episode: Episode, plan: Plan) -> tuple[_Lookup, ...]:
    """The lookups of the final execution, numbered. A typed replan numbers its steps anew, so what
    ran before it counts as another run; a replan in prose builds on what ran before."""
    turns = episode.final.turns
    own = turns
    if episode.final is episode.retrajectory and plan.steps:
        own = turns[len(episode.trajectory.turns) :] or turns
    steps = _by_step(own, plan)
    if steps is not None:
        return tuple(
            _lookup(_with_call(turn, turns), number, step)
            for number, (turn, step) in enumerate(zip(steps, plan.steps, strict=False), 1)
        )
    calls = [turn for turn in own if turn.call is not None]
    return tuple(_lookup(turn, number) for number, turn in enumerate(_few(calls), 1))


def _by_step(turns: tuple[Turn, ...], plan: Plan) -> list[Turn] | None:
    """The last turn of each plan step that was taken; None for a run that did not ask the plan's
    questions one after another. Turns that ask the same are tries of one step."""
    taken: list[Turn] = []
    for turn in turns:
        if turn.answer is not None:
            continue
        if taken and turn.thought == taken[-1].thought and taken[-1].found is None:
            taken[-1] = turn
        elif len(taken) < len(plan.steps) and _asks(turn.thought, plan.steps[len(taken)]):
            taken.append(turn)
        else:
            return None
    return taken or None


def _asks(thought: str, step: Step) -> bool:
    """Whether a thought is a step's question, its citations filled in with anything."""
    first, *rest = _CITED.split(plain(step.text))
    if not rest:
        return thought == first
    *between, last = rest
    at = len(first)
    for part in between:
        found = thought.find(part, at + 1)
        if found < 0:
            return False
        at = found + len(part)
    return thought.startswith(first) and thought.endswith(last) and len(thought) - len(last) > at


def _with_call(turn: Turn, turns: tuple[Turn, ...]) -> Turn:
    """The turn that made the lookup, where this one only repeats what an earlier run found."""
    if turn.call is not None:
        return turn
    made = (t for t in turns if t.call and t.thought == turn.thought and t.found == turn.found)
    return next(made, turn)


def _few(calls: list[Turn]) -> list[Turn]:
    """Without repeated calls; of a long run its beginning and its end."""
    distinct: list[Turn] = []
    for turn in calls:
        if all(turn.call != other.call for other in distinct):
            distinct.append(turn)
    if len(distinct) <= MAX_STEPS:
        return distinct
    half = MAX_STEPS // 2
    return [*distinct[:half], *distinct[-half:]]


def _lookup(turn: Turn, number: int, step: Step | None = None) -> _Lookup:
    observation = turn.observation
    text = observation.text if observation else ""
    passages = observation.passages if observation else ()
    read = "\n".join((text, *(f"{p.title}\n{p.text}\n{p.url or ''}" for p in passages)))
    failed = observation is None or observation.error is not None or not read.strip()
    return _Lookup(
        number=number,
        tool=turn.call.name if turn.call else "",
        queries=tuple(_queries(turn)),
        purpose=step.text if step else None,
        found=turn.found,
        text=read,
        blank=failed if step is None else turn.found is None,
    )


def _queries(turn: Turn) -> Iterator[str]:
    """The strings of a call's arguments: whatever the tool is called, they say what was asked."""
    for value in turn.call.arguments.values() if turn.call else ():
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | tuple):
            yield from (item for item in value if isinstance(item, str))  # pyright: ignore[reportUnknownVariableType]


def _veil(episode: Episode, plan: Plan, lookups: tuple[_Lookup, ...]) -> Veil:
    """Knows what must not show: subjects first, so that they get the first letters; then what the
    steps found, in this run or an earlier one; then the answers."""
    veil = Veil(seen=tuple((lookup.number, lookup.text) for lookup in lookups))
    letter_subjects(plan, veil)
    for lookup in lookups:
        if lookup.found is not None:
            veil.add(lookup.found, lookup.number)
    hide_results(episode, veil)
    return veil


def letter_subjects(plan: Plan, veil: Veil) -> None:
    """Gives what the steps of a plan are about its letters."""
    for step in plan.steps:
        for name in _BRACKETS.findall(step.text):
            veil.add(name)
            veil.letter(name)


def hide_results(episode: Episode, veil: Veil) -> None:
    """What an episode found and answered, and what the right answers are, must not show."""
    for turn in (*episode.trajectory.turns, *episode.final.turns):
        veil.add(turn.found or "")
        veil.add(turn.answer or "")
    for answer in episode.question.answers or ():
        veil.add(answer)


def plan_template(plan: Plan, veil: Veil) -> str:
    """A plan with its entities as signs: still a typed plan, if it was one."""
    if plan.rule is None:
        return _cut(veil.hide(plan.text), MAX_WORDS)
    steps = tuple(
        Step(text=_step_template(step.text, number, veil))
        for number, step in enumerate(plan.steps, 1)
    )
    return render_plan(steps, plan.rule)


def _step_template(text: str, number: int, veil: Veil) -> str:
    lettered = _BRACKETS.sub(lambda match: veil.letter(match[1]), text)
    return veil.hide(" ".join(lettered.split()), before=number)


def _step(lookup: _Lookup, veil: Veil) -> WorkflowStep:
    templates = (veil.hide(query, before=lookup.number) for query in lookup.queries[:_QUERIES])
    purpose = _step_template(lookup.purpose, lookup.number, veil) if lookup.purpose else None
    return WorkflowStep(
        tool=lookup.tool if _TOOL.fullmatch(lookup.tool) else "an unknown tool",
        purpose=purpose or ("look for more" if lookup.number > 1 else "begin the search"),
        query=_cut("; ".join(" ".join(query.split()) for query in templates), _QUERY_WORDS),
        yielded=_yielded(lookup),
    )


def _yielded(lookup: _Lookup) -> str:
    if lookup.blank:
        return NOTHING
    return _TEXT if lookup.found is None else kind(lookup.purpose or "", lookup.found)


def kind(asked: str, found: str) -> str:
    """What sort of thing was found, by what was asked and by the form of the answer."""
    asked = plain(asked)
    if found.strip(" .").lower() in ("yes", "no"):
        return "yes or no"
    if re.search(r"\bwho(m|se)?\b", asked, re.IGNORECASE):
        return "a person"
    if re.search(r"\bwhen\b|\b(year|date|day)\b", asked, re.IGNORECASE):
        return "a date"
    if _NUMBER.search(asked):
        return "a number"
    if _PLACE.search(asked):
        return "a place"
    if _DATE.search(found):
        return "a date"
    return "a number" if re.match(r"\W*\d", found) else "a name"


def _summary(steps: tuple[WorkflowStep, ...], lookups: tuple[_Lookup, ...]) -> str:
    """One line a step: purpose, query where it says more, and what came of it."""
    lines: list[str] = []
    for lookup, step in zip(lookups, steps, strict=True):
        asked = "" if step.query == step.purpose else f" ({step.tool}: {step.query})"
        lines.append(f"#{lookup.number} {step.purpose}{asked} -> {step.yielded}")
    return _cut("\n".join(lines), MAX_WORDS)


def _lesson(episode: Episode, steps: tuple[WorkflowStep, ...], lookups: tuple[_Lookup, ...]) -> str:
    """Where a failed run went wrong, as far as its form tells."""
    for lookup, step in zip(lookups, steps, strict=True):
        if step.yielded == NOTHING:
            return f"Step #{lookup.number} found nothing: {step.purpose}"
    if episode.answer is None:
        return f"The run ended after step #{lookups[-1].number} without an answer."
    return "Every step found something, but the answer was judged wrong."


def _cut(text: str, words: int) -> str:
    """The first words of a text, its lines kept."""
    matches = list(re.finditer(r"\S+", text))
    return text if len(matches) <= words else text[: matches[words - 1].end()]


def _passages(episode: Episode) -> Iterator[Passage]:
    for turn in episode.final.turns:
        if turn.observation:
            yield from turn.observation.passages


def domains(episode: Episode) -> tuple[str, ...]:
    """Where a run read."""
    return tuple(sorted({_domain(passage.url) for passage in _passages(episode)}))


def _domain(url: str | None) -> str:
    """The host of an address; `corpus` without one. Addresses come from outside, so one that is
    none is data, not an error."""
    if url is None or not url:
        return "corpus"
    try:
        return urlsplit(url).hostname or "unreadable"
    except ValueError:
        return "unreadable"


def hashes(episode: Episode) -> tuple[str, ...]:
    """What a run read, as digests."""
    texts = {passage.text for passage in _passages(episode)}
    return tuple(sorted(hashlib.sha256(text.encode()).hexdigest() for text in texts))
