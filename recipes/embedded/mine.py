"""Facts that stand in passages, found by pattern: (passage, relation, answer). Noisy by nature; a
sample is printed by `python data.py --show` so that a person can judge it."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from mia.types import Passage

_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_DATE = rf"(?:\d{{1,2}} {_MONTH} \d{{3,4}}|{_MONTH} \d{{1,2}}, ?\d{{3,4}}|{_MONTH} \d{{4}}|\d{{4}})"
_CAP = r"[A-ZÀ-ÖØ-Þ][\w.'’\-À-ÿ]*"
_NAME = (
    rf"({_CAP}(?: (?:de|van|von|der|la|le|of|bin|ibn|the|al|du|da|di)(?= [A-Z])| {_CAP}){{0,4}})"
)
_PLACE = r"([A-ZÀ-ÖØ-Þ][\w'’\-À-ÿ]+(?: [A-ZÀ-ÖØ-Þ][\w'’\-À-ÿ.]+){0,2})"
_DEMONYM = r"([A-Z][a-z]+(?:[ -][A-Z][a-z]+)?)"
_ROLE = (
    r"(?:(?:film|television|stage|theatre|music|folk|opera|pop|jazz|rock|classical|professional|"
    r"former|retired|mixed|award-winning|amateur|association|ice) )*"
    r"(?:actor|actress|director|singer|songwriter|singer-songwriter|musician|composer|writer|"
    r"novelist|poet|politician|footballer|football player|painter|screenwriter|producer|journalist|"
    r"cricketer|lawyer|historian|mathematician|physicist|chemist|philosopher|engineer|architect|"
    r"sculptor|diplomat|bishop|nobleman|businessman|rapper|conductor|photographer|filmmaker|"
    r"playwright|cyclist|swimmer|boxer|coach|basketball player|rugby player|soldier|pianist|"
    r"guitarist|author|comedian|dancer|model|economist|astronomer|biologist|explorer|wrestler)"
)
_THING = (
    r"(?:village|town|city|municipality|commune|river|lake|airport|school|mountain|district|island|"
    r"railway station|high school|university|college|parish|suburb|hamlet|church|castle|stadium|"
    r"county|census-designated place|hospital|museum|bridge|valley|bay|community|neighborhood)"
)

# relation -> (pattern, how much of the text it may look at); the last group is the answer
_PATTERNS: tuple[tuple[str, str, int], ...] = (
    ("director", rf"\bdirected(?: and (?:\w+[ -]?){{1,2}})? by (?:the )?{_NAME}", 450),
    ("director", rf"\bfilm by (?:director )?{_NAME}", 300),
    ("producer", rf"(?<!co-)\bproduced(?: and directed)? by {_NAME}", 450),
    (
        "screenwriter",
        rf"\b(?:screenplay|screenwriter|script)(?: was| is)?(?: written)? by {_NAME}",
        500,
    ),
    (
        "composer",
        rf"\b(?:[Mm]usic|[Ss]core|[Ss]oundtrack|songs)[^.]{{0,30}}?(?:composed )?by {_NAME}",
        700,
    ),
    (
        "composer",
        rf"\b(?:opera|symphony|song|musical|operetta|concerto)[^.]{{0,40}}? (?:composed |written )?by {_NAME}",
        250,
    ),
    (
        "performer",
        rf"\b(?:song|single|album|EP)[^.]{{0,50}}? (?:by|recorded by|from|performed by)(?: the)? (?:[A-Za-z-]+ ){{0,5}}?(?:singer(?:-songwriter)?|band|artist|group|rapper|duo|musician|singer and songwriter) {_NAME}",
        300,
    ),
    (
        "performer",
        rf"\b(?:song|single|album|EP) (?:recorded |performed |released )?by {_NAME}",
        250,
    ),
    (
        "author",
        rf"\b(?:novel|book|play|story|memoir|poem|novella)[^.]{{0,40}}? (?:written )?by (?:the )?(?:[a-z-]+ ){{0,1}}(?:[A-Z][a-z]+ )?(?:author|writer|novelist|playwright|poet|dramatist)s? {_NAME}",
        300,
    ),
    ("author", rf"\b(?:novel|book|play|memoir|novella) (?:written )?by {_NAME}", 250),
    ("publisher", rf"\bpublished by {_NAME}", 600),
    ("developer", rf"\bdeveloped by {_NAME}", 400),
    ("creator", rf"\b(?:created|designed) by {_NAME}", 400),
    ("editor", rf"\bedited by {_NAME}", 500),
    ("presenter", rf"\b(?:presented|hosted) by {_NAME}", 500),
    (
        "founded by",
        rf"\b(?:founded|established|co-founded)(?: in \d{{4}})? by (?:the )?{_NAME}",
        700,
    ),
    ("record label", rf"\b(?:released|issued)[^.]{{0,30}}? (?:by|on|through|via) {_NAME}", 500),
    ("owner", rf"\bowned(?: and operated)? by (?:the )?{_NAME}", 600),
    ("starring", rf"\b(?:starring|stars) {_NAME}", 450),
    (
        "based on",
        rf"\bbased on (?:the )?(?:[a-z0-9]+ ){{0,4}}(?:novel|play|book|story|novella) (?:of the same name )?by {_NAME}",
        500,
    ),
    ("father", rf"\b(?:son|daughter) of (?:the )?(?:[a-z-]+ ){{0,3}}{_NAME}", 900),
    (
        "father",
        rf"\b(?:[Hh]is|[Hh]er) father(?:, |was |is | )(?:the )?(?:[a-z-]+ ){{0,2}}{_NAME}",
        1500,
    ),
    (
        "mother",
        rf"\b(?:son|daughter) of [^.;]{{3,60}}? and (?:his |her )?(?:\w+ )?(?:(?:wife|queen|consort),? )?(?:Princess |Lady |Queen |Countess )?{_NAME}",
        900,
    ),
    (
        "mother",
        rf"\b(?:[Hh]is|[Hh]er) mother(?:, |was |is | )(?:the )?(?:[a-z-]+ ){{0,2}}{_NAME}",
        1500,
    ),
    ("spouse", rf"\b(?:[Hh]e|[Ss]he) (?:was )?married (?:to )?(?:[a-z-]+ ){{0,3}}{_NAME}", 2000),
    ("spouse", rf"\b(?:wife|husband|widow|consort) of (?:the )?(?:[a-z-]+ ){{0,3}}{_NAME}", 900),
    (
        "spouse",
        rf"\b(?:[Hh]is|[Hh]er) (?:first |second )?(?:wife|husband),? (?:was )?{_NAME}",
        1500,
    ),
    ("child", rf"\b(?:father|mother|parent)s? of (?:the )?(?:[a-z-]+ ){{0,3}}{_NAME}", 900),
    (
        "child",
        rf"\b(?:[Hh]is|[Hh]er) (?:son|daughter|eldest son|only child),? (?:was )?{_NAME}",
        1500,
    ),
    (
        "sibling",
        rf"\b(?:younger |elder |older |twin |half-)?(?:brother|sister)s? of (?:the )?(?:[a-z-]+ ){{0,3}}{_NAME}",
        900,
    ),
    (
        "sibling",
        rf"\b(?:[Hh]is|[Hh]er) (?:younger |elder |older |twin )?(?:brother|sister),? (?:was )?{_NAME}",
        1500,
    ),
    ("place of birth", rf"\bborn(?: [^.;()]{{0,60}}?)? (?:in|at|near) {_PLACE}", 1200),
    ("place of death", rf"\b(?:died|death)(?: [^.;()]{{0,60}}?)? (?:in|at|near) {_PLACE}", 2500),
    (
        "place of burial",
        rf"\b(?:buried|interred)(?: [^.;()]{{0,30}}?)? (?:in|at) (?:the )?{_PLACE}",
        2500,
    ),
    (
        "cause of death",
        r"\bdied (?:[^.;()]{0,50}?)?(?:of|from) (?:an? |complications (?:of|from) )?([a-z][a-z\- ]{3,30}?)(?= (?:in|at|on|while|after|and)\b|[.,;])",
        2500,
    ),
    (
        "educated at",
        rf"\b(?:educated|studied|graduated|graduate|degree|attended)(?: [a-z ,]{{0,40}}?)?(?: at| from| the)? (?:the )?((?:{_CAP} )+(?:University|College|School|Academy|Institute|Conservatory)(?: of (?:{_CAP})(?: {_CAP})?)?)",
        2000,
    ),
    ("educated at", rf"\b(?:University of {_CAP}(?: {_CAP})?)", 1500),
    (
        "employer",
        rf"\b(?:worked|works|working|professor|employed) [^.;]{{0,40}}?(?:at|for) (?:the )?{_NAME}",
        1500,
    ),
    (
        "award received",
        rf"\b(?:won|received|awarded|recipient of) (?:an? |the )?(?:\d{{4}} )?((?:{_CAP} )+(?:Award|Prize|Medal|Order|Award for [A-Z]\w+(?: \w+){{0,3}}))",
        2500,
    ),
    ("occupation", rf"\b(?:is|was) an? (?:[A-Z][\w-]+ ){{0,3}}({_ROLE})\b", 450),
    (
        "country of citizenship",
        rf"\b(?:is|was) an? (?:former |retired |professional )?{_DEMONYM} {_ROLE}\b",
        450,
    ),
    (
        "member of",
        rf"\b(?:plays|played|playing|member|vocalist|guitarist|drummer) (?:[a-z-]+ ){{0,4}}(?:for|of|with) (?:the )?(?:[a-z]+ ){{0,3}}{_NAME}",
        900,
    ),
    (
        "position",
        r"\b(?:served|serving|elected|appointed) (?:as )?(?:the )?((?:[A-Z]?[a-z]+ ){0,3}(?:[Gg]overnor|[Mm]inister|[Mm]ayor|[Pp]resident|[Ss]enator|[Bb]ishop|[Cc]hairman|[Aa]mbassador)(?: of [A-Z]\w+(?: \w+)?)?)",
        1200,
    ),
    ("publication date", r"\b(?:is|was) an? (\d{4}) ", 250),
    (
        "publication date",
        rf"\b(?:released|published|premiered)(?: [^.;()]{{0,40}}?)? (?:on|in) ({_DATE})",
        900,
    ),
    (
        "country of origin",
        rf"\bis an? (?:\d{{4}} )?{_DEMONYM}(?:-language)? (?:[a-z\- ]{{0,40}}?)(?:film|band|television series|magazine|company|album|song|novel)",
        300,
    ),
    ("language", r"\b([A-Z][a-z]+)(?:-| )language\b", 400),
    (
        "genre",
        r"\bis an? (?:\d{4} )?(?:[A-Z][a-z]+ )?(?:\w+-language )?((?:[a-z\-]+ ){1,2}film)\b",
        250,
    ),
    (
        "inception",
        rf"\b(?:founded|established|formed|opened|launched|created)(?: [^.;()]{{0,40}}?)? (?:on|in) ({_DATE})",
        900,
    ),
    (
        "headquarters",
        rf"\b(?:headquartered|headquarters|based) (?:is |are |located )*in {_PLACE}",
        900,
    ),
    (
        "country",
        rf"\b(?:is|was) an? (?:\w+ ){{0,3}}?{_THING}[^.]{{0,90}}?\b(?:in|of) ([A-Z][a-z]+(?: [A-Z][a-z]+)?)\.",
        350,
    ),
    (
        "located in",
        rf"\b(?:is|was) an? (?:\w+ ){{0,3}}?{_THING} (?:located )?(?:in|on|of) (?:the )?{_PLACE}",
        350,
    ),
    ("instance of", rf"\b(?:is|was) an? ((?:[a-z\-]+ ){{0,2}}{_THING})\b", 250),
    ("population", r"\bpopulation (?:of|was|is)(?: [a-z ]{0,20})? ?([\d,.]+(?: million)?)", 1500),
    (
        "length",
        r"\b(?:is|flows|length of|long)[^.;]{0,20}? ([\d,.]+ ?(?:km|kilomet\w+|miles|mi)\b)",
        900,
    ),
    (
        "height",
        r"\b(?:elevation|height|altitude|summit)[^.;]{0,30}? ([\d,.]+ ?(?:m|metres|meters|feet|ft)\b)",
        900,
    ),
    (
        "named after",
        rf"\bnamed (?:after|for|in honou?r of) (?:the )?(?:[a-z-]+ ){{0,3}}{_NAME}",
        1200,
    ),
    ("notable work", r"\bbest known (?:for|as) ([^.;,]{8,60}?)(?=[.;,]| and )", 900),
    ("part of", rf"\b(?:part|member) of (?:the )?{_NAME}", 900),
)
_COMPILED = tuple((name, re.compile(pattern), window) for name, pattern, window in _PATTERNS)
_LIFE = re.compile(
    rf"\((?:[^()]{{0,60}}?[;,] )?(?:born |b\. |n[ée]e? [^()]{{0,30}}? )?({_DATE})"
    rf"(?: in {_PLACE})?(?: ?(?:–|-|—|to) ?({_DATE})| ?[–-] ?|[,;][^()]*|\))"
)
_PRONOUN = {"He", "She", "It", "The", "They", "His", "Her", "In", "A", "An", "This", "After", "And"}


@dataclass(frozen=True, slots=True)
class Fact:
    """An answer that stands in a passage about its title."""

    passage: Passage
    relation: str
    answer: str


def entity(title: str) -> str:
    """A title without its disambiguation."""
    return re.sub(r" \([^()]*\)$", "", title)


def facts_of(passage: Passage) -> list[Fact]:
    """The facts a passage states about its own title."""
    text, name = passage.text, entity(passage.title)
    if name.split(",")[0].lower() not in text[:160].lower():
        return []
    found: dict[str, str] = {}
    life = _LIFE.search(text[:300])
    if life:
        found["date of birth"] = life[1]
        if life[3]:
            found["date of death"] = life[3]
        if life[2]:
            found["place of birth"] = life[2]
    person = bool(life) or bool(re.search(r"\b(?:He|She|he|she|his|her)\b", text))
    for relation, pattern, window in _COMPILED:
        if relation in found or (relation in _PERSON_ONLY and not person):
            continue
        match = pattern.search(text[:window])
        if match and match.groups():
            answer = _clean(match[match.lastindex or 0])
            if answer and answer.lower() not in name.lower():
                found[relation] = answer
    return [Fact(passage, relation, answer) for relation, answer in found.items()]


_PERSON_ONLY = {
    "father",
    "mother",
    "spouse",
    "child",
    "sibling",
    "place of birth",
    "place of death",
    "place of burial",
    "cause of death",
    "educated at",
    "employer",
    "occupation",
    "country of citizenship",
    "award received",
    "position",
}


def _clean(answer: str) -> str | None:
    answer = re.sub(r"(\w{3,})\. .*$", r"\1", answer.strip(" .,;'’"))
    answer = re.sub(r"['’]s$", "", answer)
    words = answer.split()
    if not words or words[0] in _PRONOUN or len(answer) < 3 or len(words) > 9:
        return None
    return answer


def mine(passages: list[Passage]) -> dict[str, list[Fact]]:
    """Facts by relation."""
    by_relation: dict[str, list[Fact]] = defaultdict(list)
    for passage in passages:
        for fact in facts_of(passage):
            by_relation[fact.relation].append(fact)
    return dict(by_relation)
