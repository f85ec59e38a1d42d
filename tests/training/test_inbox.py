"""The file between a server and its learner: nothing is lost, and nothing counts twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mia.errors import InputError
from mia.judges.feedback import Feedback
from mia.training.inbox import Inbox

UP = Feedback(up=True)


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with closing(Inbox(tmp_path / "a" / "inbox.db")) as opened:
        opened.ask("e1", "ann")
        opened.ask("e2", "")
        yield opened


def test_questions_stand_in_their_order_once(inbox: Inbox) -> None:
    inbox.ask("e1", "bob")
    inbox.ask("e3", "")
    assert [(one.place, one.episode, one.user) for one in inbox.asked()] == [
        (1, "e1", "ann"), (2, "e2", ""), (3, "e3", "")
    ]  # fmt: skip
    assert [one.episode for one in inbox.asked(1)] == ["e2", "e3"]
    about = inbox.about("e1")
    assert about is not None and about.place == 1 and inbox.about("e4") is None


def test_feedback_counts_once_for_each_key(inbox: Inbox) -> None:
    assert inbox.tell("k", "e1", UP) and not inbox.tell("k", "e1", UP)
    with pytest.raises(InputError, match="came with other feedback"):
        inbox.tell("k", "e1", Feedback(up=False))
    with pytest.raises(InputError, match="no answer with the episode 'e3'"):
        inbox.tell("l", "e3", UP)
    (told,) = inbox.waiting()
    assert told.feedback == UP and inbox.told() == {"e1"}
    inbox.settle(told.place, "stored")
    assert inbox.waiting() == () and inbox.of("e1")[0].came_to == "stored"


def test_the_first_word_on_an_answer_stands_until_it_is_withdrawn(inbox: Inbox) -> None:
    assert inbox.ruled("e1") is None
    assert inbox.rule("e1", right=True) == "right"
    assert inbox.rule("e1", right=False) == "right"
    inbox.withdraw("e1")
    assert inbox.rule("e1", right=False) == inbox.ruled("e1") == "withdrawn"


def test_who_wishes_the_same_again_wishes_again(inbox: Inbox) -> None:
    assert (inbox.wished, inbox.wishes) == ("run", 0)
    inbox.wish("pause")
    inbox.wish("run")
    inbox.wish("run")
    assert (inbox.wished, inbox.wishes) == ("run", 3)


def test_two_processes_see_the_same(inbox: Inbox, tmp_path: Path) -> None:
    inbox.tell("k", "e2", UP)
    with closing(Inbox(tmp_path / "a" / "inbox.db")) as other:
        assert other.waiting() == inbox.waiting() and other.asked() == inbox.asked()
