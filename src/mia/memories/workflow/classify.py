"""The category of a question: what kind of thing its answer is.

A list of patterns, the first that fits decides; no model. The labelled set of 105 questions in
tests/memories/test_classify.py was written first, then the patterns: .98 right on the first run,
1.00 after relative clauses (`the city where ...`) and possessives seen in public question sets
were told apart. One hand wrote both, so expect less of other questions, most of all of long ones
that put the question word last. Recall treats the category as soft: a mistake costs a place in
the order, not a memory.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

Category = Literal[
    "location",
    "human",
    "time",
    "career",
    "process",
    "definition",
    "event",
    "function",
    "property",
    "others",
]
CATEGORIES: tuple[Category, ...] = get_args(Category)

_LONGEST = 2000
"""Characters that are read: a question says what it wants in its first sentence or its last."""
_ASK = (
    r"\b(?:what|which|name|tell me)\b(?: (?:is|are|was|were|the|of|a|an|two|these|first))* "
    r"(?:(?:\S+ ){1,5}?\S+'s )?"
)
"""The question's word and what may stand before its noun: `what is Ann Lee's occupation`."""
_LEADS = r"(?:^|[,;:] |\b(?:and|or) )(?:(?:by|to|of|for|with|from|since|on|at|in) )?"
"""Where a question word asks; elsewhere it begins a relative clause."""
_PLACES = (
    "country|city|town|village|county|state|province|region|continent|island|river|lake|mountain|"
    "sea|ocean|capital|district|street|place|location|birthplace|headquarters|address|municipality"
)
_PEOPLE = (
    "person|people|man|woman|actor|actress|president|king|queen|emperor|pope|author|writer|"
    "director|singer|player|scientists?|politician|composer|founder|inventor|artist|painter|"
    "husband|wife|spouse|father|mother|son|daughter|child|grandfather|grandmother|prime minister"
)
_TIMES = "year|date|day|month|century|decade|era|age of|season|time"
_EVENTS = (
    "war|battle|election|treaty|tournament|festival|disaster|revolution|event|siege|championship|"
    "olympics|attack|conference|cup|incident|accident"
)
_WORK = (
    "occupation|profession|job title|position|career|award|prize|medal|degree|club|team|employer|"
    "university|college|school|rank|office|field of work|party"
)
_MEASURES = (
    "nationality|citizenship|population|height|length|weight|width|depth|size|area|colou?r|"
    "number|amount|budget|price|cost|temperature|boiling point|melting point|speed|distance|"
    "religion|ethnicity|languages?|gender|currency|atomic|density|rate|percentage|value|score|"
    "age|shape|material|elevation|gross"
)
_DUTY = "function|purpose|role|use|uses|job|point|duty|task"

_RULES: tuple[tuple[Category, str], ...] = (
    ("time", rf"{_LEADS}when\b|\bhow long ago\b"),
    ("time", rf"\b(?:what|which)\b(?: \w+){{0,3}}? (?:{_TIMES})\b|\b(?:date|year) of\b"),
    ("career", r"\bfor a living\b|\bas what\b|\bwhere did\b.*\b(study|work|teach|graduate)\b"),
    ("property", r"\bhow (many|much|tall|old|long|far|big|large|high|deep|heavy|fast|hot|often)\b"),
    ("property", r"\bsame (nationality|age|language|religion|gender|size|length)\b"),
    ("process", r"\bhow (do|does|did|to|can|could|is|are|was|were|should|would|might)\b"),
    ("process", rf"{_ASK}(?:steps?|process|procedure|method|recipe|way)\b"),
    ("process", r"^(?:describe|outline)\b.*\b(?:process|procedure|steps|method)\b"),
    ("location", rf"{_LEADS}where\b|\bsame (?:{_PLACES})\b|\bin (?:what|which) (?:{_PLACES})\b"),
    ("event", r"\bwhat (?:happened|led to|caused|occurred|took place)\b"),
    ("function", rf"{_ASK}(?:{_DUTY})\b(?! title)|\bused for\b|\bresponsible for\b"),
    ("function", r"^what do(?:es)? (?:an?|the) .*\bdo\?*$|^why do(?:es)?\b.*\b(?:have|need|use)\b"),
    ("definition", r"\b(mean|means|meant|meaning|definition|stand for|stands for)\b|^define\b"),
    ("human", rf"{_LEADS}(?:who|whom|whose)\b"),
    ("definition", r"\bexplain what\b"),
    ("career", rf"{_ASK}(?:\w+ )?(?:{_WORK})\b"),
    ("event", rf"{_ASK}(?:\w+ )?(?:{_EVENTS})\b|\bin which (?:{_EVENTS})\b"),
    ("location", rf"{_ASK}(?:\w+ )?(?:{_PLACES})\b"),
    ("property", rf"{_ASK}(?:\w+ )?(?:{_MEASURES})\b"),
    ("human", rf"{_ASK}(?:name of the )?(?:\w+ )?(?:{_PEOPLE})\b"),
    ("property", r"^(?:is|are|was|were|do|does|did|has|have|can)\b"),
    ("definition", r"^what (?:is|are) (?:an? )?\w+(?: \w+)?(?: in \w+)?\?*$"),
)
_COMPILED: tuple[tuple[Category, re.Pattern[str]], ...] = tuple(
    (label, re.compile(pattern)) for label, pattern in _RULES
)


def category(question: str) -> Category:
    """The kind of thing that would answer the question."""
    text = " ".join(question[-_LONGEST:].lower().replace("what's", "what is").split())
    for label, pattern in _COMPILED:
        if pattern.search(text):
            return label
    return "others"
