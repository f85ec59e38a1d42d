"""How a passage lies in an index: its fields, and how their words are cut.

A passage is found by one field, `words`: the title and the text as one, so that the title counts
like any other sentence. A field of its own for the title, with any weight, found less
(docs/decisions/0009).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import tantivy

from mia.titles import name_of
from mia.types import Passage

FORMAT = 2
"""Of an index on disk. Another one is refused and has to be built again."""
_LONGEST = 40
"""Bytes of a word: what is longer is no word but a table or a picture in letters."""


def _analyzer(tokenizer: tantivy.Tokenizer, *more: tantivy.Filter) -> tantivy.TextAnalyzer:
    """Letter case and accents aside."""
    builder = tantivy.TextAnalyzerBuilder(tokenizer)
    for step in (tantivy.Filter.lowercase(), tantivy.Filter.ascii_fold(), *more):
        builder = builder.filter(step)
    return builder.build()


WORDS = _analyzer(
    tantivy.Tokenizer.simple(),
    tantivy.Filter.remove_long(_LONGEST),
    tantivy.Filter.stemmer("english"),
)
"""A text as stemmed English words."""
WHOLE = _analyzer(tantivy.Tokenizer.raw())
"""A title as one thing."""


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("url", tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field("digest", indexed=True, fast=True)
    builder.add_text_field("title", tokenizer_name="whole", index_option="basic")
    builder.add_text_field("name", tokenizer_name="whole", index_option="basic")
    builder.add_text_field("words", tokenizer_name="words", index_option="freq")
    builder.add_bytes_field("passage", stored=True)
    return builder.build()


SCHEMA = _schema()
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Passage)


def created(folder: Path) -> tantivy.Index:
    """An index in a folder: the one that is there, or an empty one. Raises ValueError, as tantivy
    does."""
    return _cutting(tantivy.Index(SCHEMA, path=str(folder)))


def opened(folder: Path) -> tantivy.Index:
    """The index that is in a folder. Raises ValueError where there is none."""
    index = _cutting(tantivy.Index.open(str(folder)))
    # by itself tantivy looks for changes twice a second, and a generation never changes
    index.config_reader("manual")
    return index


def _cutting(index: tantivy.Index) -> tantivy.Index:
    index.register_tokenizer("words", WORDS)
    index.register_tokenizer("whole", WHOLE)
    return index


def whole(title: str) -> str:
    """A title as the fields `title` and `name` hold it."""
    return WHOLE.analyze(title.strip())[0]


def document(passage: Passage, digest: int) -> tantivy.Document:
    """A passage as tantivy takes it."""
    made = tantivy.Document(
        id=passage.id,
        title=passage.title.strip(),
        name=name_of(passage.title.strip()),
        words=f"{passage.title}\n{passage.text}",
    )
    made.add_unsigned("digest", digest)
    made.add_bytes("passage", _encoder.encode(passage))
    if passage.url:
        made.add_text("url", passage.url)
    return made


def passage(document: tantivy.Document) -> Passage:
    """The passage that was put in."""
    raw: bytes = document["passage"][0]
    return _decoder.decode(raw)


def digest_of(passage: Passage) -> int:
    """64 bits that tell a passage, with all that it says, from any other: what has the same digest
    needs neither indexing nor embedding again. Of 20 million passages, two share one by chance in
    one collection of 90,000."""
    said = (passage.id, passage.title, passage.text, passage.url, passage.published)
    return int.from_bytes(hashlib.blake2b(_encoder.encode(said), digest_size=8).digest(), "little")
