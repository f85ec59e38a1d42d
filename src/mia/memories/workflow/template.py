"""Hides facts behind signs, so that a workflow says how and never what.

What a question is about becomes a letter (`[A]`), what step 2 yielded becomes `#2`. Known spans go
first; then whatever still looks like a fact goes too: quoted text, capitalised names, anything
with a digit in it, addresses. Ordinary lower-case words stay, unless a step yielded them.
"""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

SIGN = re.compile(r"\[[A-Z]\d?\]|(?<![^\s(,\"'])#\d\d?(?!\w)")
"""A letter or a step's number, as templates have them: too short to smuggle anything, and not the
end of an address."""
_QUOTED = re.compile(r"\"[^\"]+\"|“[^”]+”|«[^»]+»|(?<!\w)'[^']+'(?!\w)|`[^`]+`")
_WORD = re.compile(r"[^\s\[\]]+")
_EDGE = "\"'“”‘’«»`(){}<>,.;:!?…—–-*|"
_ARTICLE = re.compile(r"^(?:the|an?) (?=.)")
_POSSESSIVE = re.compile(r"['’][sS]$|['’]$")
_PAUSE = re.compile(r"(?<!\b[A-Z])[,;:.!?…][\"'”’)]*$|,$")
"""Ends a name; the dot of an initial does not."""
_STOP = re.compile(r"[:.!?…][\"'”’)]*$")
"""The next word begins a sentence, so that its capital means nothing."""
_ORDINAL = re.compile(r"\d{1,2}[.):]|[-*•]|#{1,6}")
"""What a line of a list begins with."""
_LONGEST_ASIDE = 40
_ODD = re.compile(r"[\d@_\\=$%]|://|^/\w|\w\.\w")
"""Numbers, mail and web addresses, paths, keys: never an ordinary word."""

FUNCTION_WORDS = frozenset(
    "a an the this that these those and or nor but if then than so as at by for from in into "
    "of off on onto out over per to up upon via with within without about above after against "
    "along among around before behind below between during near since through under until "
    "while because both either neither each every all any some more most other another such "
    "same only just also not no yes is are was were be been being am do does did done has "
    "have had having can could may might must shall should will would who whom whose what "
    "which when where why how there here it its he she they them his her hers their theirs we "
    "our you your i me my one first last next finally now according given name tell find list "
    "search look check compare determine identify use answer question step steps describe "
    "explain define give say show let get read open write verify confirm note e.g i.e etc "
    "retrieve examine combine extract visit query consult locate obtain gather research "
    "calculate count start begin once using based return make ensure consider review select "
    "think try retry repeat instead however therefore again otherwise goal plan task result "
    "results".split()
)
"""Words that carry no fact, even where a sentence begins with them in a capital."""
_CONNECTORS = frozenset(
    "of the de du des la le les van von der den al el bin ibn da di del y e".split()
)


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of text that must not show."""

    text: str
    step: int | None
    """The step that brought it up; None for what the question or plan began with."""


_LETTER = re.compile(r"\w")
_TOKEN = re.compile(rf"(?:{SIGN.pattern})|\w+|\s+|[^\w\s]")
"""What a text falls into; a known span is a run of these."""


@dataclass(slots=True)
class Veil:
    """Replaces spans by signs, the same span always by the same sign."""

    seen: tuple[tuple[int, str], ...] = ()
    """Texts that steps brought up, by step: where a new span's origin is looked for."""
    _spans: dict[str, _Span] = field(default_factory=dict[str, _Span])
    _letters: dict[str, str] = field(default_factory=dict[str, str])
    _known: _Known = field(default_factory=lambda: _Known())
    _hidden: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    """Templates made since the last span was added: a run's queries, steps and purposes repeat
    each other."""

    def add(self, text: str, step: int | None = None) -> None:
        """A span to hide from here on. Function words and single characters are no facts and are
        let through: hiding those would leave nothing to read."""
        key = _key(text)
        telling = len(key) > 1 and any(char.isalnum() for char in key)
        if telling and key not in FUNCTION_WORDS and key not in self._spans:
            self._spans[key] = span = _Span(text=text.strip(), step=step)
            self._known.add(span)
            self._hidden.clear()

    def letter(self, text: str) -> str:
        """The letter of a span, whatever brought it up."""
        rounds, place = divmod(len(self._letters), 26)
        fresh = f"[{chr(65 + place)}{min(rounds, 9) or ''}]"
        return self._letters.setdefault(_key(text), fresh)

    def hide(self, text: str, before: int = 0) -> str:
        """The text as a template. Results of steps before `before` are cited by number; what came
        later, or from no step, is a letter."""
        if (text, before) in self._hidden:
            return self._hidden[text, before]
        template = self._template(text, before)
        self._hidden[text, before] = template
        return template

    def _template(self, text: str, before: int) -> str:
        known = self._known.sub(text, lambda span: self._sign(span, before))
        pieces: list[str] = []
        at = 0
        for sign in SIGN.finditer(known):
            pieces += [self._hide_unknown(known[at : sign.start()], before), sign[0]]
            at = sign.end()
        return "".join([*pieces, self._hide_unknown(known[at:], before)])

    def _sign(self, span: _Span, before: int) -> str:
        if span.step is not None and span.step < before:
            return f"#{span.step}"
        return self.letter(span.text)

    def _hide_unknown(self, text: str, before: int) -> str:
        pieces: list[str] = []
        at = 0
        for start, end in _facts(text):
            fact = text[start:end]
            self.add(fact, self._origin(fact))
            span = self._spans.get(_key(fact), _Span(text=fact, step=None))
            pieces += [text[at:start], self._sign(span, before)]
            at = end
        return "".join([*pieces, text[at:]])

    def _origin(self, fact: str) -> int | None:
        """The first step that brought up a fact."""
        return next((step for step, text in self.seen if _says(text, fact)), None)


def _tokens(text: str) -> list[str]:
    """The tokens of a text, as spans are compared: letter case and the kind of blank aside."""
    return [" " if token.isspace() else token.lower() for token in _TOKEN.findall(text)]


class _Known:
    """The spans to look for. They are other ones in each run: compiling a pattern of them would
    take longer than all the rest."""

    def __init__(self) -> None:
        self._by_first: dict[str, list[tuple[list[str], _Span]]] = {}
        """By first token, the longest first."""

    def add(self, span: _Span) -> None:
        """One more to look for."""
        tokens = _tokens(span.text)
        same = self._by_first.setdefault(tokens[0], [])
        insort(same, (tokens, span), key=lambda known: -len(known[1].text))

    def sub(self, text: str, sign: Callable[[_Span], str]) -> str:
        """The text with a sign for each span that stands there in whole words. Of those that begin
        at one place, the longest counts. Signs that are there already stay."""
        if not self._by_first:
            return text
        exact, tokens = _TOKEN.findall(text), _tokens(text)
        pieces: list[str] = []
        at = 0
        while at < len(tokens):
            found = None if SIGN.fullmatch(exact[at]) else self._at(tokens, at)
            length, span = found or (1, None)
            pieces.append(exact[at] if span is None else sign(span))
            at += length
        return "".join(pieces)

    def _at(self, tokens: list[str], at: int) -> tuple[int, _Span] | None:
        """The span that begins at a token, with how many tokens it has."""
        if at and _LETTER.match(tokens[at - 1][-1]):
            return None
        for wanted, span in self._by_first.get(tokens[at], ()):
            end = at + len(wanted)
            whole = tokens[at:end] == wanted
            if whole and not (end < len(tokens) and _LETTER.match(tokens[end])):
                return len(wanted), span
        return None


def _says(text: str, fact: str) -> bool:
    """Whether a text has a fact in whole words, letter case aside."""
    text, fact = text.lower(), fact.lower()
    at = text.find(fact)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(fact) : at + len(fact) + 1]
        if not (_LETTER.fullmatch(before) or _LETTER.fullmatch(after)):
            return True
        at = text.find(fact, at + 1)
    return False


def mask(question: str) -> str:
    """A question with its names, numbers and quotes as letters, by its form alone."""
    return Veil().hide(question)


def _key(text: str) -> str:
    """Letter case, blanks and a leading article aside: the Po is the same river as Po."""
    return _ARTICLE.sub("", " ".join(text.split()).lower())


def _facts(text: str) -> Iterator[tuple[int, int]]:
    """Where a text without signs says something that looks like a fact."""
    at = 0
    for quote in _QUOTED.finditer(text):
        yield from _names(text, at, quote.start())
        yield quote.span()
        at = quote.end()
    yield from _names(text, at, len(text))


def _names(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Runs of name-like words; small words may join two of them (`Anne of Kiev`)."""
    words = list(_WORD.finditer(text, start, end))
    index = 0
    while index < len(words):
        if not _opens(words, index):
            index += 1
            continue
        last: int | None = index
        following = last
        while following is not None:
            last = following
            following = None if _PAUSE.search(words[last][0]) else _continues(words, last)
        begin, stop = _core(words[index])[0], _core(words[last])[1]
        stop = _close(text, begin, stop)
        yield begin, stop
        index = last + 1
        while index < len(words) and words[index].start() < stop:
            index += 1


def _close(text: str, begin: int, stop: int) -> int:
    """The end of a name with the bracket it opened: `Lola (1981 film)`."""
    opened = text.rfind("(", begin, stop)
    if opened < 0 or ")" in text[opened:stop]:
        return stop
    closing = text.find(")", stop, stop + _LONGEST_ASIDE)
    return stop if closing < 0 else closing + 1


def _opens(words: list[re.Match[str]], index: int) -> bool:
    """Whether a name begins with this word. A small word in capitals belongs to the name after it,
    unless a sentence begins there; the number of a list's line is no fact."""
    word = words[index]
    begins = index == 0 or _begins(words[index - 1], word)
    if begins and _ORDINAL.fullmatch(word[0]):
        return False
    if _name_like(word):
        return True
    follows = index + 1 < len(words) and _name_like(words[index + 1])
    return follows and not begins and _capital(word)


def _begins(before: re.Match[str], word: re.Match[str]) -> bool:
    gap = word.string[before.end() : word.start()]
    return "\n" in gap or _STOP.search(before[0]) is not None


def _continues(words: list[re.Match[str]], last: int) -> int | None:
    """The next word of the name that reaches to `last`, over at most two connectors."""
    for at in range(last + 1, min(last + 4, len(words))):
        if "\n" in words[at].string[words[at - 1].end() : words[at].start()]:
            return None
        if _name_like(words[at]) or (at == last + 1 and _capital(words[at])):
            return at
        if words[at][0].lower() not in _CONNECTORS:
            return None
    return None


def _capital(word: re.Match[str]) -> bool:
    return word[0].lstrip(_EDGE)[:1].isupper() and word[0] != "I"


def _name_like(word: re.Match[str]) -> bool:
    start, end = _core(word)
    core = word.string[start:end]
    if not core or core.lower() in FUNCTION_WORDS:
        return False
    return any(char.isupper() for char in core) or _ODD.search(core) is not None


def _core(word: re.Match[str]) -> tuple[int, int]:
    """The word without punctuation around it and without a possessive."""
    text = word[0]
    start = word.start() + len(text) - len(text.lstrip(_EDGE))
    bare = text.strip(_EDGE)
    end = start + len(_POSSESSIVE.sub("", bare))
    return start, end
