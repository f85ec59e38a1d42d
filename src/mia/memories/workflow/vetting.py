"""What a model may write into a workflow: how a run went, never what it found. Pure.

The model has read pages that anybody may have written, so its words are taken only when each one
is a plain word of research, a word that the workflow shows already, or a sign. Names of the
question become their letters; anything else that looks like a fact, or that the run found, is
refused, and so is every word not on these lists: an order to the planner or an address cannot be
spelled without them. Not covered: that one of the things the question itself names was the answer.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from mia.errors import ModelError
from mia.memories.workflow.compress import hide_results, letter_subjects
from mia.memories.workflow.template import FUNCTION_WORDS, SIGN, Veil
from mia.planner import refs, subject
from mia.types import Episode, Turn, Workflow

_UNFIT = frozenset(
    "yes no one may i me my we our you your must shall tell say write explain describe define "
    "think goal plan".split()
)
"""Function words that can be an answer, or that talk to whoever reads them."""
_RESEARCH = frozenset(
    "person people place date year month day century time number name title page article source "
    "search passage text section table document entry record introduction biography review "
    "birth born birthplace death died parent father mother spouse husband wife married marriage "
    "child children son daughter brother sister sibling grandfather grandmother relative family "
    "founder author writer director actor actress singer performer composer producer player "
    "artist painter scientist inventor owner leader member character "
    "film movie song album book novel series show band group team club company organisation "
    "organization institution school university college magazine newspaper "
    "city town village country county region province capital continent island river lake "
    "mountain building station location nationality citizenship occupation profession position "
    "role award prize work career event war battle election treaty tournament language "
    "population height length area size age release released publication published founded "
    "established located created directed written performed composed produced "
    "compare comparison earlier later older younger larger smaller longer shorter different "
    "order difference value kind type form category unit thing entity subject something "
    "someone candidate namesake spelling variant synonym keyword wording phrase word term "
    "resolve separate together directly exact precise specific general narrow narrower broad "
    "broader full short alternative additional related official original main "
    "right wrong missing mistaken ambiguous uncertain unknown known clear found nothing enough "
    "searched looked asked named cited checked mixed confused confirmed compared stopped ended "
    "judged used failed repeated skipped taken instead early late again twice already still "
    "run whole part detail information evidence fact caption image picture "
    "query answer question use look check try read open find list match searches searching "
    "looking finding reading naming comparing opened "
    "took gave got went came need needed met matched missed returned stayed seems seemed".split()
)
"""What it takes to say how something was looked up."""
WORDS = tuple(sorted((FUNCTION_WORDS - _UNFIT | _RESEARCH) - {"e.g", "i.e", "etc"}))
"""The words that any workflow may use."""
_WORDS = frozenset(WORDS)
_ENDINGS = (("'s", ""), ("’s", ""), ("ies", "y"), ("s", ""))
"""Others make names of words: Ward, Waring."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_MARKS = frozenset(" ,.;:?!()'’/-–")
"""What may stand between words: nothing that code, markup or an address needs."""
_SIGN = re.compile(rf"(?:{SIGN.pattern})(?:['’]s)?")
_CONNECTORS = frozenset("of the and de in for on to a".split())
_BROKEN = re.compile(r"[^\w\s'’-]")
"""Ends a name."""
_TOLD = 8
"""Unusable words that are named to the model."""


class Vetting:
    """What may be said of one run."""

    def __init__(self, episode: Episode, draft: Workflow) -> None:
        """`draft` is the run's deterministic workflow."""
        self._veil, self._known = _veil(episode)
        shown = [draft.question_template, draft.plan]
        shown += [f"{step.purpose} | {step.query}" for step in draft.steps]
        self._letters = _letters(" ".join(shown))
        told = set(_told(episode))
        self._own = _own_words(draft, told)
        self._facts = {fact for fact in told if fact not in FUNCTION_WORDS}
        self._facts |= set(self._names(episode, shown))

    def text(self, said: str, where: str, *, words: int, before: int) -> str:
        """What a model said, as a template of at most so many words that cites only steps before
        `before`. Raises ModelError, which names the place and the reason, when it cannot be."""
        plain = _WORD.sub(self._lowered, " ".join(said.split()))
        hidden = copy.deepcopy(self._veil).hide(plain)
        written, signs = Counter(SIGN.findall(plain)), Counter(SIGN.findall(hidden))
        if not set(signs - written) <= self._known:
            raise ModelError(f"{where} holds a name, number, date, address or result: use signs")
        if not _letters(hidden) <= self._letters | self._known:
            raise ModelError(f"{where} holds a letter that stands for nothing")
        if any(not 1 <= ref < before for ref in refs(hidden)):
            raise ModelError(f"{where} cites a step that is not before it")
        self._check_words(_SIGN.sub("\n", hidden), where)
        if not 1 <= len(hidden.split()) <= words:
            raise ModelError(f"{where} should have 1 to {words} words")
        return hidden

    def _check_words(self, text: str, where: str) -> None:
        """Looks at a text whose signs are ends of lines, so that words around one are not
        neighbours."""
        odd = set(_WORD.sub("", text)) - _MARKS - {"\n"}
        if odd:
            raise ModelError(f"{where} holds more than letters and plain punctuation")
        unusable = [word for word in _WORD.findall(text) if not self._allowed(word.lower())]
        if unusable:
            named = ", ".join(word[:30] for word in unusable[:_TOLD])
            raise ModelError(f"{where} holds words that are not on the list: {named}")
        for line in text.split("\n"):
            normal = f" {_normal(line)} "
            if any(f" {fact} " in normal for fact in self._facts):
                raise ModelError(f"{where} holds what the run read or found: use signs")

    def _lowered(self, word: re.Match[str]) -> str:
        """A plain word without the capital of a sentence, which would make it a name."""
        lower = word[0].lower()
        plain = len(lower) > 1 and lower not in FUNCTION_WORDS and self._allowed(lower)
        return lower if plain else word[0]

    def _allowed(self, word: str) -> bool:
        if word in _WORDS or word in self._own:
            return True
        stems = (word.removesuffix(end) + put for end, put in _ENDINGS if word.endswith(end))
        return any(stem in _RESEARCH for stem in stems)

    def _names(self, episode: Episode, shown: Iterable[str]) -> Iterator[str]:
        """Names that consist of plain words. What the run or the draft also has in lower case is
        no name."""
        read = list(_read(episode))
        usual = "\n".join(f" {_cased(text)} " for text in (*read, *shown))
        titles = {_normal(title) for title in _titles(episode)}
        for name in titles | {name for text in read for name in _capitals(text)}:
            plain = name and all(self._allowed(word) for word in name.split())
            if plain and f" {name} " not in usual:
                yield name


def _veil(episode: Episode) -> tuple[Veil, frozenset[str]]:
    """Hides what the deterministic way hides, and with the same letters; and those letters: of
    what the plan is about, then of what the question and a plan in prose name."""
    veil, plan = Veil(), episode.final_plan
    if plan is not None:
        letter_subjects(plan, veil)
    hide_results(episode, veil)
    named = [subject(step.text) for step in plan.steps] if plan else []
    letters = {veil.letter(name) for name in named if name}
    letters |= _letters(veil.hide(episode.question.text))
    if plan is not None and plan.rule is None:
        letters |= _letters(veil.hide(plan.text))
    return veil, frozenset(letters)


def _turns(episode: Episode) -> Iterator[Turn]:
    yield from episode.trajectory.turns
    yield from episode.final.turns


def _results(episode: Episode) -> Iterator[str]:
    """What the steps found, what was answered, and the right answers."""
    for turn in _turns(episode):
        yield from (text for text in (turn.found, turn.answer) if text)
    yield from episode.question.answers or ()


def _told(episode: Episode) -> Iterator[str]:
    """Results in plain words; digits are hidden by their form."""
    plain = (text for text in _results(episode) if not any(char.isdigit() for char in text))
    return filter(None, map(_normal, plain))


def _titles(episode: Episode) -> Iterator[str]:
    for turn in _turns(episode):
        for passage in turn.observation.passages if turn.observation else ():
            yield passage.title


def _read(episode: Episode) -> Iterator[str]:
    """What the run read and thought."""
    for turn in _turns(episode):
        yield turn.thought
        if turn.observation:
            yield turn.observation.text
            yield from (passage.text for passage in turn.observation.passages)


def _own_words(draft: Workflow, told: Iterable[str]) -> frozenset[str]:
    """The words that a draft shows. Its steps may hold a half of what was found, which no form
    gives away, so those words are taken from its question only."""
    asked = set(_normal(draft.question_template).split())
    steps = " ".join(f"{step.purpose} {step.query}" for step in draft.steps)
    done = set(_normal(f"{draft.plan} {steps}").split())
    found = {word for fact in told for word in fact.split()}
    return frozenset((asked | done - found) - {"yes", "no"})


def _letters(text: str) -> set[str]:
    return {sign for sign in SIGN.findall(text) if sign[0] == "["}


def _cased(text: str) -> str:
    """The words of a text, one blank between them."""
    return " ".join(re.sub(r"['’]s$", "", word) for word in _WORD.findall(text))


def _normal(text: str) -> str:
    return _cased(text).lower()


def _capitals(text: str) -> Iterator[str]:
    """Words in capitals: one inside a sentence, and two that stand together or over small words
    such as `of`."""
    words = list(_WORD.finditer(text))
    for at, word in enumerate(words):
        if not _capital(word):
            continue
        before = words[at - 1] if at else word
        if not _capital(before) and text[before.end() : word.start()] == " ":
            yield _normal(word[0])
        following = at + 1
        while following < min(at + 3, len(words)) and words[following][0] in _CONNECTORS:
            following += 1
        if following < len(words) and _capital(words[following]):
            stretch = text[word.start() : words[following].end()]
            if not _BROKEN.search(stretch):
                yield _normal(stretch)


def _capital(word: re.Match[str]) -> bool:
    return word[0][0].isupper()
