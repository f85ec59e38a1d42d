"""The parquet files of the published system, and the rows that its runner reads: questions about
pictures (FVQA, InfoSeek, SimpleVQA, LiveVQA, MMSearch), for training, testing and TTRL.

All have one schema. Of its columns, `plan`, `memories_context`, `memories_context_2`, `modality`,
`data_source` and `extra_info` are not read: they are what another planner and memory made.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from mia.datasets.dataset import DataSet, Raw, Row, Split, columns, gold, written_out
from mia.errors import InputError

_MARK = "<image>"
"""Stands in the words where a picture goes."""
_TTRL = Split(name="ttrl")


class _Message(msgspec.Struct, frozen=True):
    content: str
    role: str = "user"


class _Reward(msgspec.Struct, frozen=True):
    ground_truth: str | list[str] | None = None
    candidate_answers: str | list[str] | None = None


class _Picture(msgspec.Struct, frozen=True):
    """As the hub's library keeps one."""

    raw: bytes | None = msgspec.field(name="bytes", default=None)
    path: str | None = None


class _Columns(msgspec.Struct, frozen=True):
    question: str | None = None
    prompt: list[_Message] | None = None
    """Of which the user's first message is the question, where `question` is not given."""
    data_id: str | int | None = None
    ids: str | int | None = None
    """The same in the rows of the runner."""
    reward_model: _Reward | None = None
    answer: str | list[str] | None = None
    """The gold answer in the rows of the runner."""
    image_caption: str | list[str] | None = None
    category: str | None = None
    images: object = None


def row(raw: Raw, number: int) -> Row:
    """`question` is that column, or the prompt's first message, without picture marks; `id` is
    data_id, or ids: caches of image search go by it; `answers` are the ground truth and the
    candidate answers; `caption` is the first caption; `family` is the category."""
    given = columns(raw, _Columns)
    id = given.data_id if given.data_id is not None else given.ids
    if id is None:
        raise InputError("it has neither data_id nor ids")
    captions = given.image_caption
    caption = captions if isinstance(captions, str) else next(iter(captions or ()), None)
    return Row(
        question=_asked(given).replace(_MARK, " ").strip(),
        id=str(id),
        answers=_answers(given),
        family=given.category,
        caption=caption or None,
        pictures=tuple(map(_picture, _listed(given.images))),
    )


def _asked(given: _Columns) -> str:
    if given.question is not None:
        return given.question
    for message in given.prompt or ():
        if message.role == "user":
            return message.content
    raise InputError("it has neither question nor a prompt of the user")


def _answers(given: _Columns) -> tuple[str, ...]:
    reward = given.reward_model or _Reward()
    first = reward.ground_truth if reward.ground_truth is not None else given.answer
    told = [first] if isinstance(first, str) else first or []
    return gold([*told, *_candidates(reward.candidate_answers)])


def _candidates(answers: str | list[str] | None) -> list[str]:
    """Other right answers: a list, a list as text, or a single one."""
    if isinstance(answers, str) and answers.lstrip().startswith("["):
        try:
            return msgspec.convert(written_out(answers), list[str])
        except msgspec.ValidationError as error:
            raise InputError(f"candidate_answers: {error}") from error
    return [answers] if isinstance(answers, str) else answers or []


def _listed(images: object) -> list[object]:
    if images is None or images == "":
        return []
    return list(images) if isinstance(images, list) else [images]  # type: ignore[reportUnknownArgumentType]


def _picture(image: object) -> bytes | str:
    """Bytes, or what the hub's library keeps, or base64, or a URL."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str):
        return image if image.startswith(("http://", "https://", "data:")) else _decoded(image)
    try:
        kept = msgspec.convert(image, _Picture)
    except msgspec.ValidationError as error:
        raise InputError(f"images: {error}") from error
    if kept.raw is not None:
        return kept.raw
    if not kept.path:
        raise InputError("images: one has neither bytes nor a path")
    return kept.path


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"images: {text[:40]!r} is no picture in base64: {error}") from error


def _published(name: str, what: str, *splits: Split, repo: str | None = None) -> DataSet:
    return DataSet(name=name, what=what, licence="see its card", splits=(*splits, _TTRL),
                   row=row, repo=repo)  # fmt: skip


FVQA = _published(
    "fvqa", "pictures, facts",
    Split(name="test", questions=1_800), Split(name="train", questions=4_856), repo="lmms-lab/FVQA",
)  # fmt: skip
INFOSEEK = _published("infoseek", "pictures, facts", Split(name="test", questions=2_000))
SIMPLEVQA = _published("simplevqa", "pictures, facts", Split(name="test", questions=1_013))
LIVEVQA = _published("livevqa", "pictures, news", Split(name="test", questions=2_384))
MMSEARCH = _published("mmsearch", "pictures, search", Split(name="test", questions=171))
