"""A reader without a model: typed patterns over the sentences of a passage.

It is the control beside which any figure of the embedded model has to be read, and what a machine
without a model falls back on when it is asked to. Patterns are general English, none is made for a
single question.
"""

from __future__ import annotations

import re

from mia.executors.stepwise.compute import nations
from mia.executors.stepwise.reader import Reading
from mia.titles import name_of
from mia.types import Passage

_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_DATE = rf"(?:\d{{1,2}} {_MONTH} \d{{3,4}}|{_MONTH} \d{{1,2}}, ?\d{{3,4}}|{_MONTH} \d{{4}}|\d{{4}})"
_CAP = r"[A-ZÀ-Þ][\w.'’\-]*"
_NAME = (
    rf"({_CAP}(?: (?:(?:de|van|von|der|la|le|of|bin|ibn|the|al|du|da|di) (?=[A-Z]))?{_CAP}){{0,4}})"
)
_PLACE = rf"({_CAP}(?:,? {_CAP}){{0,2}})"
_LIFE = re.compile(rf"\((?:[^()]*?[;,] )?(?:born |b\. )?({_DATE})[^()–-]*(?:[–-] ?({_DATE})?)?")

# (what the question asks, what the sentence says); the first that fits both is the answer
_ASKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\bdirect(?:or|ed)\b", (rf"directed(?: \w+){{0,3}} by {_NAME}", rf"film by {_NAME}")),
    (r"\bperform(?:er|ed)\b|\bsang\b|\bsinger\b|\brecorded\b",
     (rf"(?:song|single|album)[^.]{{0,60}}? by (?:[a-z\- ]*(?:singer|band|artist|group|rapper|duo|musician) )?{_NAME}",)),
    (r"\bcompos(?:er|ed)\b|\bmusic of\b",
     (rf"(?:[Mm]usic|score|composed)[^.]{{0,40}}? by {_NAME}", rf"(?:opera|song|musical)[^.]{{0,40}}? by {_NAME}")),
    (r"\bproducer\b|\bproduced\b", (rf"produced(?: \w+){{0,3}} by {_NAME}",)),
    (r"\bscreen(?:writer|play)\b", (rf"(?:screenplay|written)[^.]{{0,20}}? by {_NAME}",)),
    (r"\bauthor\b|\bwrote\b", (rf"(?:novel|book|play|written)[^.]{{0,40}}? by (?:[a-zA-Z]+ (?:author|writer|novelist) )?{_NAME}",)),
    (r"\bpublish(?:er|ed)\b", (rf"published by {_NAME}",)),
    (r"\bfound(?:er|ed by)\b|\bwho founded\b", (rf"(?:founded|established)[^.]{{0,30}}? by {_NAME}",)),
    (r"\bfather\b", (rf"(?:son|daughter) of (?:[a-z-]+ ){{0,3}}{_NAME}", rf"father[, ]+(?:was |is )?{_NAME}")),
    (r"\bmother\b", (rf"(?:son|daughter) of [^.;]{{3,60}}? and (?:(?:his|her) )?(?:\w+ )?(?:wife,? )?{_NAME}", rf"mother[, ]+(?:was |is )?{_NAME}")),
    (r"\bspouse\b|\bwife\b|\bhusband\b|\bmarr", (rf"married (?:to )?(?:[a-z-]+ ){{0,3}}{_NAME}", rf"(?:wife|husband|widow|consort)(?: of|,)? (?:[a-z-]+ ){{0,2}}{_NAME}")),
    (r"\bsibling\b|\bbrother\b|\bsister\b", (rf"(?:brother|sister)s?(?: of|,)? (?:[a-z-]+ ){{0,2}}{_NAME}",)),
    (r"\bchild\b|\bson\b|\bdaughter\b", (rf"(?:father|mother|parent)s? of (?:[a-z-]+ ){{0,3}}{_NAME}", rf"(?:son|daughter),? {_NAME}")),
    (r"^where\b.*\bborn\b|\b(?:place of birth|birthplace)\b", (rf"born(?: [^.;()]{{0,60}}?)? (?:in|at|near) {_PLACE}", rf"\([^()]*? in {_PLACE}")),
    (r"^where\b.*\bdie\b|\bplace of death\b", (rf"died(?: [^.;()]{{0,60}}?)? (?:in|at|near) {_PLACE}",)),
    (r"\bburi(?:ed|al)\b", (rf"(?:buried|interred)(?: [^.;()]{{0,30}}?)? (?:in|at) (?:the )?{_PLACE}",)),
    (r"^(?:how|why)\b.*\bdie\b|\bcause of death\b", (r"died (?:[^.;()]{0,40}?)?(?:of|from) (?:an? )?([a-z][a-z ]{3,30}?)(?= (?:in|at|on)\b|[.,;])",)),
    (r"\bstudy\b|\beducated\b|\battend\b|\bgraduate", (rf"(?:educated|studied|graduated|attended)[^.]{{0,40}}? ((?:{_CAP} )*(?:University|College|School|Academy)(?: of {_CAP})?)",)),
    (r"\bwork\b|\bemployed\b", (rf"(?:worked|professor)[^.;]{{0,40}}?(?:at|for) (?:the )?{_NAME}",)),
    (r"\baward\b", (rf"(?:won|received|awarded) (?:an? |the )?((?:{_CAP} )+(?:Award|Prize|Medal))",)),
    (r"\bcapital\b", (rf"capital (?:city )?(?:is|of) {_NAME}",)),
    (r"\bheadquarter|\bbased\b", (rf"(?:headquartered|based) in {_PLACE}",)),
    (r"\boccupation\b", (r"(?:is|was) an? (?:[A-Z]\w+ )?([a-z]+(?: [a-z]+)?)",)),
    (r"^when\b|\bdate\b|\byear\b", (rf"(?:released|published|founded|established|formed|opened)[^.()]{{0,40}}? (?:on|in) ({_DATE})", r"\b(?:is|was) an? (\d{4}) ", rf"({_DATE})")),
    (r"^how (?:long|high)\b", (r"([\d,.]+ ?(?:km|kilometres|kilometers|miles|metres|meters|m|feet)\b)",)),
    (r"\bpopulation\b|\bhow many\b", (r"([\d,]{3,})",)),
    (r"^(?:where|which country|in what country)\b", (rf"\b(?:in|of) {_PLACE}",)),
)  # fmt: skip
_COMPILED = tuple(
    (re.compile(asks, re.IGNORECASE), tuple(re.compile(says) for says in patterns))
    for asks, patterns in _ASKS
)
_NATION = re.compile(r"\bnationality\b|\bcountry\b|\bcitizen", re.IGNORECASE)
_BORN = re.compile(r"^when\b.*\bborn\b|\bdate of birth\b|\bbirthday\b", re.IGNORECASE)
_DIED = re.compile(r"^when\b.*\bdie\b|\bdate of death\b", re.IGNORECASE)


class RuleReader:
    """Answers by pattern; knows nothing else."""

    async def read(self, question: str, passage: Passage) -> Reading:
        return Reading(answer=extract(question, passage))


def extract(question: str, passage: Passage) -> str | None:
    """What a passage says to a one-lookup question, by pattern."""
    text = passage.text[:2500]
    for wanted, group in ((_BORN, 1), (_DIED, 2)):
        if wanted.search(question):
            life = _LIFE.search(text[:400])
            return life[group] if life else None
    if _NATION.search(question):
        return _nation(text)
    for asks, patterns in _COMPILED:
        if not asks.search(question):
            continue
        for says in patterns:
            match = says.search(text)
            if match and match[1].casefold() not in name_of(passage.title).casefold():
                return match[1].strip(" .,;")
    return None


def _nation(text: str) -> str | None:
    """The first country or demonym in the first sentences."""
    for word in re.findall(r"[A-Z][\w.]+(?: [A-Z]\w+)?", text[:400]):
        for candidate in (word, word.split()[0]):
            if nations(candidate):
                return candidate
    return None
