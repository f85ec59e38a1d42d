"""Learning behind a server: what people say counts once, questions are tried out once, policies
that are good come to use, and a person's word stands."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.training import tiny_world
from tests.training.behind_desk import LOOSE, Count, Desk, Pulled, plain

from mia.journal import Journal
from mia.judges.exact_match import ExactMatch
from mia.model import GREEDY, Message, Model, Reply, Sampling
from mia.training import tiny
from mia.training.buffer import Buffer
from mia.training.rewards import Parts, Rollout, planner_reward
from mia.training.rollouts import group
from mia.training.versions import Draft
from mia.training.voices import asked
from mia.types import Plan, Question, Trajectory, Verdict, VerdictValue


class Guesses(Model):
    """Plans for one letter after the other."""

    def __init__(self, letters: str = "abcd") -> None:
        self._letters = itertools.cycle(letters)

    async def reply(
        self, messages: Sequence[Message], *, sampling: Sampling = GREEDY, **_: object
    ) -> Reply:
        return Reply(text=next(self._letters) if len(messages) == 1 else "no")


@pytest.fixture
def paper(tmp_path: Path) -> Desk:
    """A desk without weights."""
    return Desk(tmp_path / "paper")


@pytest.fixture
def desk(tmp_path: Path, tiny_base: Path, speaking: Path) -> Desk:
    return Desk(tmp_path / "desk", tiny_base, speaking)


async def guessed(desk: Desk, letters: str = "abcd", **how: object) -> None:
    await desk.work(voice=asked(Guesses(letters)), **how)


async def test_what_is_right_is_remembered_and_tried_out_by_that(paper: Desk) -> None:
    episode = paper.ask("a", "B")
    paper.tell(episode, answer="A")
    await guessed(paper)
    (outcome,) = paper.outcomes()
    assert outcome.place == 1 and outcome.right is False and outcome.judged is None
    assert outcome.selections.oracle is True and len(outcome.rewards) == 4
    assert paper.memory.kept[episode].verdict.judge == "human"
    kept = [each.verdict.value for each in paper.memory.kept.values()]
    assert kept.count(VerdictValue.CORRECT) == 1, "the shortest of the attempts"
    ((right, wrong),) = paper.pairs.couples
    assert right.answer == "A" and wrong.verdict.value is VerdictValue.INCORRECT


async def test_an_answer_that_is_approved_of_is_the_right_one(paper: Desk) -> None:
    paper.tell(paper.ask("c", "C"), up=True)
    await guessed(paper)
    (outcome,) = paper.outcomes()
    assert outcome.right is True and outcome.selections.router is True
    assert outcome.rewards.count(max(filter(None, outcome.rewards))) == 1, "one of four says C"


async def test_of_a_thumb_down_only_the_same_answer_is_known_to_be_wrong(paper: Desk) -> None:
    paper.tell(paper.ask("a", "A"), up=False)
    await guessed(paper)
    (outcome,) = paper.outcomes()
    assert outcome.rewards.count(None) == 3, "one of four says A again"
    values = {each.verdict.value for each in paper.memory.kept.values()}
    assert values == {VerdictValue.INCORRECT}


async def test_where_a_judge_is_there_it_tells_of_the_other_answers(paper: Desk) -> None:
    class Knows(ExactMatch):
        async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
            return Verdict(value=VerdictValue.INCORRECT, judge="panel", confidence=0.9)

    paper.tell(paper.ask("a", "A"), up=False)
    paper.ask("b", "B")
    await guessed(paper, judge=Knows())
    (outcome,) = paper.outcomes()
    assert outcome.place == 1, "of the other question nobody said anything"
    assert None not in outcome.rewards and outcome.selections.oracle is False


async def test_questions_of_which_nobody_says_anything_wait(paper: Desk) -> None:
    paper.ask("a", "A")
    paper.tell(paper.ask("b", "B"), text="thank you")
    paper.tell(paper.ask("c", "C"), score=0.6)
    await guessed(paper)
    assert paper.outcomes() == ()
    assert list(paper.memory.kept) == ["e3"], "memory may know what is not sure"
    with paper.inbox() as inbox:
        assert inbox.waiting() == () and "nothing" in (inbox.of("e2")[0].came_to or "")


async def test_with_votes_every_question_is_tried_out_and_feedback_comes_first(
    paper: Desk,
) -> None:
    paper.ask("a", "A")
    paper.tell(paper.ask("a", "A"), answer="Z")
    await guessed(paper, letters="a", always=True, vote=True)
    one, other = paper.outcomes()
    assert one.judged is True and one.right is True
    assert other.judged is None and other.right is False
    judges = {each.verdict.judge for each in paper.memory.kept.values()}
    assert judges == {"vote", "human", "exact_match"}


async def test_the_answer_votes_too(paper: Desk) -> None:
    paper.ask("a", None)
    paper.ask("a", "A")
    await guessed(paper, letters="ab", always=True, vote=True, attempts=2)
    none, one = paper.outcomes()
    assert none.judged is None and one.judged is True


async def test_a_contradiction_makes_memory_forget_once_and_for_all(paper: Desk) -> None:
    episode = paper.ask("a", "B")
    paper.tell(episode, up=True)
    await guessed(paper)
    assert paper.memory.known
    paper.tell(episode, "later", answer="A")
    await guessed(paper)
    assert paper.memory.known == {}, "nor what was tried out by it"
    paper.tell(episode, "again", up=True)
    await guessed(paper)
    assert paper.memory.known == {} and len(paper.outcomes()) == 1
    with paper.inbox() as inbox:
        first, second, third = (told.came_to or "" for told in inbox.of(episode))
    assert first.startswith("stored") and "contradicts" in second
    assert third.startswith("nothing: memory forgot")


async def test_the_last_who_decides_is_believed(paper: Desk) -> None:
    episode = paper.ask("a", "B")
    paper.tell(episode, "1", up=True)
    paper.tell(episode, "2", answer="A")
    paper.tell(episode, "3", up=False)
    await guessed(paper, letters="a")
    (outcome,) = paper.outcomes()
    assert outcome.right is False and outcome.selections.oracle is True, "A is still known"
    assert episode not in paper.memory.known and episode not in outcome.remembered
    assert paper.pairs.couples == [], "nor is it held against the others"


async def test_a_judge_is_held_against_what_people_say_later(paper: Desk) -> None:
    episode = paper.ask("a", "A")
    await guessed(paper, letters="a", always=True, vote=True)
    paper.tell(episode, up=False)
    await guessed(paper, letters="a", always=True, vote=True)
    (outcome,) = paper.outcomes()
    assert outcome.judged is True and outcome.audited is False
    assert paper.memory.kept[episode].verdict.judge == "vote"
    assert episode not in paper.memory.known, "what it said is contradicted"


async def test_a_day_has_its_budget(paper: Desk) -> None:
    for _ in range(3):
        paper.tell(paper.ask("a", "A"), up=True)
    await guessed(paper, a_day=2)
    assert len(paper.outcomes()) == 2 and paper.report().phase == "spent"
    await guessed(paper, a_day=2)
    assert len(paper.outcomes()) == 2, "a restart is no new day"
    paper.today += timedelta(days=1)
    await guessed(paper, a_day=2)
    report = paper.report()
    assert (report.phase, report.explored, report.today) == ("waiting", 3, 1)


async def test_a_pause_leaves_all_but_memory_alone(paper: Desk) -> None:
    paper.wish("pause")
    paper.tell(paper.ask("a", "A"), up=True)
    await guessed(paper)
    assert list(paper.memory.kept) == ["e1"] and paper.outcomes() == ()
    assert (paper.report().phase, paper.report().waiting) == ("paused", 1)
    paper.wish("run")
    await guessed(paper)
    assert len(paper.outcomes()) == 1 and paper.report().phase == "waiting"


async def test_an_episode_that_is_not_in_the_journal_is_said_and_passed_over(paper: Desk) -> None:
    with paper.inbox() as inbox:
        inbox.ask("gone", "")
    paper.tell("gone", up=True)
    await guessed(paper)
    assert "no episode 'gone'" in paper.said[0] and paper.outcomes() == ()


async def test_it_ends_when_it_is_told_to(paper: Desk) -> None:
    stop = asyncio.Event()
    with paper.behind(voice=asked(Guesses())) as behind:
        working = asyncio.create_task(behind.work(stop))
        await asyncio.sleep(0.05)
        assert paper.report().phase == "waiting"
        stop.set()
        await asyncio.wait_for(working, 5)
    assert paper.report().phase == "stopped" and paper.report().learns == "memory"


def busy(desk: Desk) -> None:
    """Four questions of which people say what is right."""
    for letter, answer in zip("abcd", ("A", "B", "A", "D"), strict=True):
        desk.tell(desk.ask(letter, answer), answer=letter.upper())


def standing(desk: Desk) -> tuple[object, ...]:
    """All that is to be the same whatever was killed."""
    with desk.inbox() as inbox:
        told = [(each.episode, each.came_to) for n in range(1, 5) for each in inbox.of(f"e{n}")]
    versions = [(each.number, each.parent, each.config["update"]) for each in desk.shelf.versions()]
    journal = Journal(desk.folder / "journal.db")
    count = journal.count()
    journal.close()
    verdicts = sorted((each.question.id, each.verdict.value.value)
                      for each in desk.memory.kept.values())  # fmt: skip
    outcomes = [plain(one) for one in desk.outcomes()]
    learned = [replace(each, seconds=0.0) for each in desk.learned()]
    report = desk.report()
    return (told, versions, desk.shelf.in_use, count, verdicts, outcomes, learned, desk.weights(),
            report.phase, report.version, report.explored)  # fmt: skip


async def test_each_good_update_is_a_version_and_in_use(desk: Desk) -> None:
    busy(desk)
    await desk.work()
    versions = desk.shelf.versions()
    assert [(each.number, each.parent) for each in versions] == [(1, 0), (2, 1)]
    assert desk.shelf.in_use == 2
    report = desk.report()
    assert (report.version, report.updates, report.explored, report.waiting) == (2, 2, 4, 0)
    assert report.learns == "weights and memory" and 0 < report.taught <= 4
    before = standing(desk)
    await desk.work()
    assert standing(desk) == before, "there is nothing more to do"


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.nightly)])
@pytest.mark.timeout(1200)
async def test_whoever_is_killed_anywhere_comes_to_the_same(
    desk: Desk, tmp_path: Path, tiny_base: Path, speaking: Path, every: bool
) -> None:
    busy(desk)
    whole = Count()
    await desk.work(plug=whole, keep=1)
    wanted = standing(desk)
    last = {step: at for at, step in enumerate(whole.steps, 1) if step.startswith("after")}
    assert {
        "after settle feedback", "after rule", "after add", "after settle question", "after form",
        "after note", "after save", "after publish", "after promote", "after footing",
    } < set(last)  # fmt: skip
    for at in range(1, len(whole.steps) + 1) if every else sorted(last.values()):
        torn = Desk(tmp_path / str(at), tiny_base, speaking)
        busy(torn)
        with pytest.raises(Pulled):
            await torn.work(plug=Count(at), keep=1)
        await torn.work(keep=1)
        assert standing(torn) == wanted, whole.steps[at - 1]


async def test_whoever_is_killed_while_memory_forgets_has_it_forgotten(tmp_path: Path) -> None:
    async def contradicted(folder: Path, at: int) -> tuple[Desk, Count]:
        desk, plug = Desk(folder), Count(at)
        episode = desk.ask("a", "B")
        desk.tell(episode, up=True)
        await guessed(desk)
        desk.tell(episode, "later", answer="A")
        if at:
            with pytest.raises(Pulled):
                await guessed(desk, plug=plug)
        await guessed(desk, plug=None if at else plug)
        return desk, plug

    whole, steps = await contradicted(tmp_path / "whole", 0)
    assert {"after forget", "after withdraw"} < set(steps.steps)
    for at in range(1, len(steps.steps) + 1):
        torn, _ = await contradicted(tmp_path / str(at), at)
        assert torn.memory.known == whole.memory.known == {}
        with torn.inbox() as inbox:
            assert inbox.ruled("e1") == "withdrawn" and inbox.waiting() == ()


async def test_the_last_versions_of_a_run_stay_and_those_of_others(desk: Desk) -> None:
    other = desk.shelf.publish(
        Draft(base="tiny", base_sha256="0" * 64, made_by="imported"), _written
    )
    for _ in range(3):
        busy(desk)
    await desk.work(keep=2)
    assert [each.number for each in desk.shelf.versions()] == [other.number, 6, 7]
    assert desk.shelf.in_use == 7
    desk.shelf.rollback()
    assert desk.shelf.in_use == 6


def _written(folder: Path) -> None:
    (folder / "adapter_model.safetensors").write_bytes(b"weights")


async def test_a_person_who_moves_the_pointer_is_obeyed_until_told_to_go_on(desk: Desk) -> None:
    busy(desk)
    await desk.work()
    desk.shelf.rollback()
    busy(desk)
    await desk.work()
    report = desk.report()
    assert report.phase == "held" and report.held.startswith("version 1 was put to use by hand")
    assert desk.shelf.in_use == 1 and report.updates == 2 and report.explored == 4
    assert len(desk.memory.kept) > 4, "memory learns"
    desk.wish("run")
    await desk.work()
    versions = desk.shelf.versions()
    assert [(each.number, each.parent) for each in versions][2:] == [(3, 1), (4, 3)]
    report = desk.report()
    assert (report.phase, report.held, report.updates, report.version) == ("waiting", "", 4, 4)


async def test_who_goes_on_from_a_version_has_its_weights(desk: Desk) -> None:
    busy(desk)
    await desk.work()
    desk.shelf.rollback()
    await desk.work()
    desk.wish("run")
    await desk.work()
    assert desk.weights() == (desk.shelf.folder(1) / "adapter_model.safetensors").read_bytes()
    before = desk.weights()
    await desk.work()
    assert desk.weights() == before, "and has them after a restart"
    assert desk.learner is not None and desk.learner.version == 2


async def test_a_move_that_is_taken_back_needs_no_wish(desk: Desk) -> None:
    busy(desk)
    await desk.work()
    desk.shelf.rollback()
    await desk.work()
    assert desk.report().phase == "held"
    desk.shelf.promote(2)
    await desk.work()
    assert desk.report().phase == "waiting" and desk.report().held == ""


async def test_what_was_attempted_by_other_weights_teaches_nothing(desk: Desk) -> None:
    busy(desk)
    desk.tell(desk.ask("a", "B"), answer="A")
    await desk.work()
    assert len(desk.outcomes()) == 5
    desk.shelf.rollback()
    await desk.work()
    desk.wish("drain")
    await desk.work()
    assert desk.report().phase == "held", "only to run lets it go on"
    desk.wish("run")
    await desk.work()
    desk.wish("drain")
    await desk.work()
    assert desk.report().phase == "drained" and len(desk.learned()) == 2


async def test_draining_learns_from_what_is_left_once_and_rests(desk: Desk) -> None:
    desk.tell(desk.ask("a", "B"), answer="A")
    await desk.work()
    assert desk.learned() == ()
    desk.wish("drain")
    await desk.work()
    assert [each.questions for each in desk.learned()] == [1]
    assert desk.report().phase == "drained"
    desk.tell(desk.ask("b", "A"), answer="B")
    await desk.work()
    assert len(desk.outcomes()) == 1 and desk.report().phase == "drained"
    desk.wish("run")
    await desk.work()
    assert len(desk.outcomes()) == 2 and len(desk.learned()) == 1


async def test_a_guard_that_stops_learning_holds_the_weights_until_told_to_go_on(
    desk: Desk,
) -> None:
    tight = replace(LOOSE, kl=1e-9)
    busy(desk)
    await desk.work(limits=tight)
    report = desk.report()
    assert report.phase == "held" and report.held.startswith("kl: ") and report.alarms
    assert desk.shelf.versions() == () and len(desk.learned()) == 1
    desk.wish("run")
    await desk.work()
    assert desk.report().phase == "waiting" and len(desk.learned()) == 2
    (version,) = desk.shelf.versions()
    assert version.parent == 0 and desk.shelf.in_use == version.number


CANARY = tiny.exercises(16, seed=9)


def went_wrong(rollout: Rollout) -> Parts | None:
    """Pays for what is wrong."""
    parts = planner_reward(rollout)
    return None if parts is None else Parts(total=1.0 - parts.total)


async def test_nobody_is_answered_by_a_policy_that_lost_canary_questions(
    desk: Desk, tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    stage = tiny_world.stage_of(tiny_base, tmp_path / "stage", begins=speaking)
    found = await group(stage.actor, CANARY, attempts=1, seed="s", temperature=0.0)
    knows = [
        exercise for exercise, (one,) in zip(CANARY, found, strict=True)
        if one.rollout.episode.verdict.value is VerdictValue.CORRECT
    ]  # fmt: skip
    limits = replace(LOOSE, kl=1e30, length=1e9, p=1.0)
    for _ in range(3):
        busy(desk)
    await desk.work(
        limits=limits, canary=knows, by_answer=went_wrong, learning_rate=1e-2, warm_steps=0,
        kl_weight=0.0,
    )  # fmt: skip
    start, *looks = desk.learned()
    lost = [look.update.version for look in looks if not look.good]
    assert all(start.canary) and lost
    made = [each.config["update"] for each in desk.shelf.versions()]
    assert not set(made) & set(lost)
    alarms = [look.alarm for look in looks if look.alarm is not None]
    assert alarms and {alarm.action for alarm in alarms} == {"roll back"}
    report = desk.report()
    assert report.canary[0] == (len(knows), len(knows)) and report.alarms
    in_use = desk.shelf.current()
    assert in_use is None or in_use.config["update"] not in lost


async def test_a_user_fills_no_batch_and_waits_in_turn(desk: Desk) -> None:
    limits = replace(LOOSE, per_source=0.5)
    for user in ("bob", "bob", "bob", "ann", "cy"):
        desk.tell(desk.ask("a", "B", user), answer="A")
    await desk.work(limits=limits)
    assert [each.questions for each in desk.learned()] == [2, 2]
    users = [one.user for one in desk.outcomes()]
    assert users == ["bob", "bob", "bob", "ann", "cy"]
    with closing(Buffer(desk.folder / "attempted.db", "")) as buffer:
        batches = [[one.user for one in buffer.of_batch(number)] for number in (1, 2)]
        assert batches == [["bob", "ann"], ["bob", "cy"]] and buffer.waiting() == 1


@pytest.mark.parametrize(
    "kills", [20, pytest.param(1000, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)])]
)
def test_what_was_acknowledged_is_learned_from_once_whoever_is_killed(
    kills: int, tmp_path: Path, tiny_base: Path, speaking: Path
) -> None:
    (tmp_path / "run").mkdir()
    places = map(str, (tmp_path / "run", tiny_base, speaking))
    command = [sys.executable, "-m", "tests.training.drill_behind", *places, str(kills)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    assert "acknowledged" in done.stdout
