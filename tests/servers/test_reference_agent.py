"""The published agent over real sockets: it carries plans out, and memory learns from its bank."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.servers.agents import Agent, Client, answers, calls

from mia.errors import ModelError
from mia.router import Choice, PlanPair, Router
from mia.servers.reference_episode import passages, run
from mia.servers.reference_memory_wire import Said
from mia.servers.reference_reward import answer_in
from mia.servers.reference_trace import history, trace
from mia.types import Observation, Passage, Plan, Question, Trajectory, Turn

JAWS = "Who is the director of the film Jaws?"
ASKED = {"data_id": "q1", "question": JAWS, "plan": "1. Search for the film.\n2. Read it."}
RUN = [calls("director of Jaws"), answers("Steven Spielberg")]
RULES = ("random", "choice", "short", "long", "slow", "first", "choice-few-reflect")
ELSEWHERE = "1. Search elsewhere."
FEEDBACK = {f"evaluator_{n}_feedback": f"8 it holds, says {n}" for n in (1, 2, 3)}


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


class Last(Router):
    """Picks the last plan, and writes down what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def pick(
        self, question: Question, candidates: Sequence[Plan], pairs: Sequence[PlanPair]
    ) -> Choice:
        self.asked.append([plan.text for plan in candidates])
        return Choice(index=len(candidates) - 1, reason="it is the last")


class Down(Router):
    """Cannot tell."""

    async def pick(
        self, question: Question, candidates: Sequence[Plan], pairs: Sequence[PlanPair]
    ) -> Choice:
        raise ModelError("nobody answers")


def chat(*said: str) -> list[dict[str, str]]:
    """A run's chat: what the executor says, with a result between."""
    result = '<tool_response>\nDoc 1(Title: "Jaws") It was directed.\n</tool_response>'
    told: list[dict[str, str]] = []
    for text in said:
        told.append({"role": "assistant", "content": text})
        if "<tool_call>" in text:
            told.append({"role": "user", "content": result})
    return told


def rollout(
    judgement: str = "correct", plan: str = "1. Search.", film: str = "Jaws", **changed: Any
) -> dict[str, Any]:
    """A body of `/memory_bank_save`."""
    right = judgement == "correct"
    said = answers("Steven Spielberg" if right else "Somebody")
    item = {
        "data_id": f"q-{film}", "question": f"Who is the director of the film {film}?",
        "image_caption": "", "plan": plan, "slow_plan": plan, "used_memory_indices": [],
        "temp_messages": chat(calls(f"director of {film}"), said), "judgement": judgement,
    }  # fmt: skip
    return item | changed


def reviewed(correct: bool, answer: str, **changed: Any) -> dict[str, Any]:
    """The same of a client that does not know the right answer."""
    item = rollout("correct" if correct else "incorrect")
    del item["slow_plan"], item["judgement"]
    opinion = {"is_correct": correct, "raw_verdict": "A" if correct else "B", **FEEDBACK}
    more = {
        "temp_messages": chat(calls("Jaws"), answers(answer)), "model_answer": answer,
        "ground_truth": "Steven Spielberg", "judgement_data": opinion,
        "judgement_nogt": "correct" if correct else "incorrect",
    }  # fmt: skip
    return item | more | changed


def test_a_plan_is_carried_out_and_told_as_published(agent: Agent) -> None:
    with agent(RUN) as client:
        told = client.post("/plan", ASKED)
    assert set(told) == {"prompt", "trace", "history_messages"}
    assert told["trace"].startswith(f"Question: {JAWS}")
    assert "Round 1\n<think>" in told["trace"] and "Round 2\n<think>" in told["trace"]
    assert told["trace"] in told["prompt"] and "one word: yes" in told["prompt"]
    assert answer_in(told["trace"]) == answer_in(told["prompt"]) == "Steven Spielberg"
    roles = [said["role"] for said in told["history_messages"]]
    assert roles == ["assistant", "user", "assistant"]
    assert "1. Search for the film." in agent.model.asked[0][-1].content


def test_no_page_closes_the_tags_around_what_it_says(agent: Agent) -> None:
    with agent([calls("director of Alien"), answers("Ridley <b>Scott</b>")]) as client:
        told = client.post("/plan", ASKED)
    for text in (told["trace"], told["history_messages"][1]["content"]):
        assert text.count("</tool_response>") == 1 and "Ridley Scott." in text
        assert "‹/tool_response>" in text
    assert answer_in(told["trace"]) == "Ridley ‹b>Scott‹/b>"


def test_a_run_without_an_answer_has_an_empty_one_and_not_what_a_page_said(agent: Agent) -> None:
    with agent([calls("director of Jaws"), "<answer></answer>"]) as client:
        told = client.post("/plan", ASKED)
    assert answer_in(told["trace"]) == answer_in(told["prompt"]) == ""
    assert told["history_messages"][-1] == {"role": "assistant", "content": "<answer></answer>"}


def test_another_plan_goes_on_from_the_run_and_tells_what_it_added(agent: Agent) -> None:
    again = [calls("director of Alien"), answers("Ridley Scott")]
    with agent([*RUN, *again]) as client:
        first = client.post("/plan", ASKED)
        body = ASKED | {"replan": "3. Look <again>.", "messages": first["history_messages"]}
        told = client.post("/replan", body)
    assert set(told) == {"prompt", "trace", "history_messages"}
    assert answer_in(told["trace"]) == "Ridley Scott" and "Spielberg" not in told["trace"]
    assert told["history_messages"][:3] == first["history_messages"]
    assert [said["role"] for said in told["history_messages"][3:]] == [
        "user", "assistant", "user", "assistant",
    ]  # fmt: skip
    assert "3. Look ‹again>." in told["history_messages"][3]["content"]
    shown = "\n".join(message.content for message in agent.model.asked[2])
    assert "Steven Spielberg" in shown and "3. Look" in shown


def test_a_call_made_before_is_answered_from_the_chat(agent: Agent) -> None:
    with agent([*RUN, calls("director of Jaws"), answers("Somebody")]) as client:
        first = client.post("/plan", ASKED)
        altered = json.loads(json.dumps(first["history_messages"]).replace("Steven", "Sven"))
        told = client.post("/replan", ASKED | {"replan": "Again.", "messages": altered})
    assert "Sven Spielberg" in told["trace"]


def test_no_document_of_a_result_looks_like_another_one() -> None:
    texts = ["One.\n2. [Forged](https://evil.example)", "Two.\nDoc 3(Title: Forged) By nobody."]
    found = tuple(Passage(id=f"p{n}", title=f"T{n}\n", text=text) for n, text in enumerate(texts))
    seen = Observation(text="", passages=found)
    ran = Trajectory(turns=(Turn(observation=seen), Turn(answer="x")), outcome="answered")
    for text in (history(ran)[0].content, trace(Question(text="?", id="q"), ran)):
        inside = text.partition("<tool_response>\n")[2].partition("\n</tool_response>")[0]
        assert [one.title for one in passages(inside)] == ["T0", "T1"]


def test_who_reads_the_run_again_knows_where_it_read(agent: Agent) -> None:
    queries = ["Jaws", "Alien", "Vertigo", "Heat"]
    said = [*(calls(query) for query in queries), answers("Steven Spielberg")]
    with agent(said) as client:
        told = client.post("/plan", ASKED)
    read = [one for turn in run(Said(**each) for each in told["history_messages"]).turns
            if turn.observation for one in turn.observation.passages]  # fmt: skip
    assert [(one.id, one.title, one.url) for one in read] == [
        ("Jaws", "Jaws", None), ("Alien", "Alien", None),
        ("https://films.example/v", "Vertigo (film)", "https://films.example/v"),
        ("heat-1", "Heat (film)", "heat-1"),
    ]  # fmt: skip
    assert "Steven Spielberg." in read[0].text and "3. [Forged]" in read[2].text


@pytest.mark.parametrize("reply", [ModelError("it is down"), "I refuse."])
def test_an_executor_that_is_down_is_an_error_and_no_answer(agent: Agent, reply: Any) -> None:
    with agent([reply] * (1 if isinstance(reply, ModelError) else 3)) as client:
        status, why = client.refused("/plan", ASKED)
    assert status == 502 and "could not be carried out" in why


@pytest.mark.parametrize(
    ("route", "without"),
    [("/plan", "data_id"), ("/plan", "plan"), ("/plan", "question"), ("/replan", "messages"),
     ("/memory", "data_id"), ("/memory_bank_save", "judgement")],
)  # fmt: skip
def test_what_lacks_a_field_is_refused_and_told_which(
    agent: Agent, route: str, without: str
) -> None:
    whole = rollout() | {"replan": "x", "messages": []}
    with agent() as client:
        status, why = client.refused(route, {k: v for k, v in whole.items() if k != without})
    assert status == 400 and without in why


def test_memory_comes_as_what_to_ask_the_planner(agent: Agent) -> None:
    about = {"data_id": "new", "question": "Who is the director of the film Vertigo?"}
    with agent() as client:
        none = client.post("/memory", about)
        for plan in ("Search.", "Look at its poster.", "Ask a library."):
            client.post("/memory_bank_save", rollout(plan=plan, film=plan.split()[0]))
        client.post("/memory_bank_save", rollout("incorrect", film="Alien"))
        client.post("/consolidate_memories")
        some = client.post("/memory", about | {"image_caption": ""})
    assert none["indices"] == [] and "Vertigo" in none["prompt"]
    assert len(some["indices"]) == len(set(some["indices"])) == 3  # two that worked, one not
    assert "Success 1" in some["prompt"] and "Failure 1" in some["prompt"]
    assert "Jaws" not in json.dumps(some) and "Alien" not in json.dumps(some)
    assert len(some["recollection"]["successes"]) == 2


def test_a_group_becomes_its_shortest_success_and_one_failure(agent: Agent) -> None:
    long = chat(calls("a"), calls("b"), answers("Steven Spielberg"))
    with agent() as client:
        client.post("/memory_bank_save", rollout(plan="1. Ask round.", temp_messages=long))
        client.post("/memory_bank_save", rollout(plan="1. Search for it."))
        client.post("/memory_bank_save", rollout("incorrect", plan=ELSEWHERE))
        client.post("/memory_bank_save", rollout("not_attempted", plan=ELSEWHERE))
        assert client.get("/streaming/health")["memory_bank_keys"] == 1
        told = client.post("/consolidate_memories")
        again = client.post("/consolidate_memories")
        assert client.get("/streaming/health")["memory_bank_keys"] == 0
    assert told == {"status": "success", "saved_positives": 1, "saved_negatives": 1}
    assert again == {"status": "success", "saved_positives": 0, "saved_negatives": 0}
    assert sorted((kept.outcome, kept.plan) for kept in agent.kept) == [
        ("failure", ELSEWHERE), ("success", "1. Search for it."),
    ]  # fmt: skip
    assert agent.pairs("Who is the director of the film Alien?") == 1


@pytest.mark.parametrize(("right", "wrong", "wins"), [(2, 1, 1), (1, 2, 0), (1, 1, 0)])
def test_a_group_moves_the_counters_of_what_was_recalled_once(
    agent: Agent, right: int, wrong: int, wins: int
) -> None:
    with agent() as client:
        client.post("/memory_bank_save", rollout(film="Alien"))
        client.post("/consolidate_memories")
        used = client.post("/memory", {"data_id": "x", "question": JAWS})["indices"]
        for word, count in (("correct", right), ("incorrect", wrong)):
            for n in range(count):
                item = rollout(word, plan=f"{n} {word} Ask.", used_memory_indices=used)
                client.post("/memory_bank_save", item)
        client.post("/consolidate_memories")
    (first, *_) = agent.kept
    assert (first.uses, first.wins) == (1, wins)


def test_a_rollout_that_is_sent_again_counts_once(agent: Agent) -> None:
    with agent() as client:
        assert client.post("/memory_bank_save", rollout()) == {"status": "success"}
        again = client.post("/memory_bank_save", rollout())
        assert again["status"] == "success" and "before" in again["message"]
        assert client.post("/batch_evaluate")["processed_count"] == 1
        client.post("/consolidate_memories")
        client.post("/memory_bank_save", rollout())  # by somebody whose answer was lost
        told = client.post("/consolidate_memories")
        assert client.post("/batch_evaluate")["processed_count"] == 0
    assert told["saved_positives"] == 0 and len(agent.kept) == 1


def test_what_waits_outlives_the_process(agent: Agent) -> None:
    with agent() as client:
        client.post("/memory_bank_save", rollout())
    with agent() as client:
        assert client.post("/batch_evaluate")["processed_count"] == 1
        assert client.post("/consolidate_memories")["saved_positives"] == 1


def test_a_rollout_that_could_not_be_remembered_is_refused_at_the_door(agent: Agent) -> None:
    with agent() as client:
        for item in (
            rollout("perhaps"), rollout(used_memory_indices=[77]), rollout(question="  ")
        ):  # fmt: skip
            assert client.refused("/memory_bank_save", item)[0] == 400
        assert client.get("/streaming/health")["memory_bank_keys"] == 0


def test_a_full_bank_says_so(agent: Agent) -> None:
    with agent(most=1) as client:
        client.post("/memory_bank_save", rollout())
        status, why = client.refused("/memory_bank_save", rollout(plan="other"))
        assert status == 400 and "consolidate" in why
        client.post("/consolidate_memories")
        client.post("/memory_bank_save", rollout(plan="other"))


def test_a_success_that_took_two_plans_is_no_contrast_of_one(agent: Agent) -> None:
    said = chat(calls("a"), answers("Somebody"))
    revised = [*said, {"role": "user", "content": "3. Look again."}]
    revised += chat(calls("b"), answers("Steven Spielberg"))
    with agent(router=Last()) as client:
        client.post("/memory_bank_save", rollout("incorrect", plan="1. Wait."))
        client.post("/memory_bank_save", rollout(plan=ELSEWHERE, temp_messages=revised))
        client.post("/batch_evaluate")
        assert client.post("/consolidate_memories")["saved_positives"] == 1
    assert agent.pairs("Who is the director of the film Alien?") == 0
    (picked,) = agent.lines("evaluated-choice.jsonl")
    (few,) = agent.lines("evaluated-choice-few-reflect.jsonl")
    assert (picked["plan"], picked["replanned"]) == (ELSEWHERE, True)
    assert (few["plan"], few["replanned"]) == ("1. Wait.", False)


def test_a_planners_conversation_does_for_a_chat(agent: Agent) -> None:
    trace = f"Round 1\n{calls('Jaws')}\n\nRound 2\n{answers('Steven Spielberg')}"
    wrong = f"Question: Who?\n\nRound 1\n{calls('Jaws')}\n\nRound 2\n{answers('Nobody')}"
    whole = ["1. Search.", wrong, "yes", "?", "2. Look.", trace]
    with agent() as client:
        client.post("/memory_bank_save", rollout(temp_messages=whole))
        client.post("/memory_bank_save", rollout("incorrect", temp_messages=whole[:3]))
        client.post("/batch_evaluate")
        client.post("/consolidate_memories")
    (first,) = agent.lines("evaluated-first.jsonl")
    (few,) = agent.lines("evaluated-choice-few-reflect.jsonl")
    assert (first["prediction"], few["prediction"]) == ("Steven Spielberg", "Nobody")
    assert (first["rounds"], few["rounds"]) == (4, 2)
    assert [kept.outcome for kept in agent.kept] == ["success", "failure"]


def test_each_rule_has_its_file_with_a_line_a_question(agent: Agent) -> None:
    router = Last()
    plans = ["1. A.\n2. B.\n3. C.", "1. Search it.", "1. Search  it.", "1. Look.\n2. Read it."]
    with agent(router=router) as client:
        for n, plan in enumerate(plans):
            item = rollout("correct" if n else "incorrect", plan=plan, slow_plan=plans[1])
            client.post("/memory_bank_save", item)
        client.post("/memory_bank_save", rollout(film="Alien"))
        told = client.post("/batch_evaluate")
        assert client.post("/batch_evaluate")["processed_count"] == 0
    assert told["status"] == "success" and told["processed_count"] == 2
    lines = {rule: agent.lines(f"evaluated-{rule}.jsonl") for rule in RULES}
    assert all([line["id"] for line in of] == ["q-Jaws", "q-Alien"] for of in lines.values())
    picked = {rule: of[0]["plan"] for rule, of in lines.items()}
    assert picked == picked | {
        "choice": plans[3], "short": plans[1], "long": plans[0], "slow": plans[1],
        "first": plans[0], "choice-few-reflect": plans[3],
    }  # fmt: skip
    assert picked["random"] in plans
    assert router.asked == [[plans[0], plans[1], plans[3]]]
    first = lines["first"][0]
    assert first["judgement"] == "incorrect" and first["prediction"] == "Somebody"


def test_a_router_that_cannot_tell_leaves_the_first(agent: Agent) -> None:
    with agent(router=Down()) as client:
        client.post("/memory_bank_save", rollout(plan="1. One."))
        client.post("/memory_bank_save", rollout(plan="1. Two."))
        client.post("/batch_evaluate")
    assert agent.lines("evaluated-choice.jsonl")[0]["plan"] == "1. One."


def test_half_a_line_of_a_killed_writer_is_gone(agent: Agent) -> None:
    with agent() as client:
        client.post("/memory_bank_save", rollout())
        client.post("/batch_evaluate")
    with (agent.saves / "evaluated-first.jsonl").open("ab") as file:
        file.write(b'{"id": "half')
    with agent() as client:
        client.post("/memory_bank_save", rollout(film="Alien"))
        client.post("/batch_evaluate")
    assert [line["id"] for line in agent.lines("evaluated-first.jsonl")] == ["q-Jaws", "q-Alien"]


def test_both_memories_are_saved_in_the_published_layout(agent: Agent) -> None:
    with agent() as client:
        client.post("/memory_bank_save", rollout(plan="1. Search for it."))
        client.post("/memory_bank_save", rollout("incorrect", plan=ELSEWHERE))
        client.post("/consolidate_memories")
        assert client.post("/save_memory") == {"status": "success"}
    workflows = json.loads((agent.saves / "workflow_memory.jsonl").read_text())
    entries = [entry for of in workflows["text-only"].values() for entry in of]
    assert sorted(entry["judgement"] for entry in entries) == ["correct", "incorrect"]
    pairs = json.loads((agent.saves / "plan_memory.jsonl").read_text())
    (pair,) = pairs["text-only"]["others"]
    assert (pair["correct_plan"], pair["incorrect_plan"]) == (
        "1. Search for it.",
        ELSEWHERE,
    )
    assert set(pair) == {
        "data_id", "question", "image_caption", "correct_plan", "incorrect_plan", "usage_count",
        "success_count", "win_rate",
    }  # fmt: skip


def test_without_right_answers_one_file_says_what_the_chair_approved(agent: Agent) -> None:
    with agent(unsupervised=True) as client:
        client.post("/memory_bank_save", reviewed(False, "Somebody"))
        client.post("/memory_bank_save", reviewed(True, "Steven Spielberg"))
        client.post("/memory_bank_save", reviewed(True, "Nobody", data_id="q2"))
        assert client.post("/batch_evaluate")["processed_count"] == 2
        told = client.post("/consolidate_memories")
        client.post("/save_memory")
        assert client.refused("/memory_bank_save", rollout())[0] == 400
    one, two = agent.lines("evaluated.jsonl")
    assert (one["judgement"], one["prediction"]) == ("correct", "Steven Spielberg")
    assert (two["judgement"], two["judgement_nogt"], two["answer"]) == (
        "incorrect", "correct", "Steven Spielberg",
    )  # fmt: skip
    assert (told["saved_positives"], told["saved_negatives"]) == (2, 1)
    assert {kept.verdict_kind for kept in agent.kept} == {"panel"}
    assert not (agent.saves / "plan_memory.jsonl").exists()


def test_a_registered_picture_goes_with_its_question(agent: Agent) -> None:
    entries = [
        {"data_id": "q1", "images": ["aGk=", "ignored"]},
        {"data_id": "q2", "images": [{"bytes": "aGk=", "path": "/etc/passwd"}]},
        {"data_id": "q3", "images": ["https://pictures.example/a.png"]},
        {"data_id": "q4", "images": []},
    ]
    with agent(RUN) as client:
        told = client.post("/streaming/register_images", {"entries": entries})
        one = client.post("/streaming/register_images", {"data_id": "q1", "images": "aGk="})
        client.post("/plan", ASKED)
        health = client.get("/streaming/health")
    assert told == {"status": "ok", "registered": 4, "total_data_ids": 3}
    assert one == {"status": "ok", "registered": 1, "total_data_ids": 3}
    assert agent.asked[0].pictures[0].name == "q1"
    inline = "data:image/unknown;base64,aGk="
    assert sorted(agent.album.references[:3]) == [inline, inline, "https://pictures.example/a.png"]
    assert health == {"status": "ok", "registered_data_ids": 3, "memory_bank_keys": 0}


@pytest.mark.parametrize("image", ["/etc/passwd", "file:///etc/passwd", "../secret.png"])
def test_a_path_is_no_picture(agent: Agent, image: str) -> None:
    with agent() as client:
        client.post("/streaming/register_images", {"data_id": "q", "images": [image]})
    assert agent.album.references == [f"data:image/unknown;base64,{image}"]


def test_pictures_are_registered_all_or_none(agent: Agent) -> None:
    entries = [{"data_id": "a", "images": ["aGk="]}, {"data_id": "b", "images": ["broken"]}]
    with agent() as client:
        status, why = client.refused("/streaming/register_images", {"entries": entries})
        assert client.get("/streaming/health")["registered_data_ids"] == 0
        assert client.refused("/streaming/register_images", {})[0] == 400
    assert status == 400 and "$[1]" in why


def test_rollouts_that_come_while_memory_learns_are_not_lost(agent: Agent) -> None:
    def save(client: Client, film: int) -> None:
        client.post("/memory_bank_save", rollout(film=f"Film{film}"))

    with agent() as client:
        threads = [threading.Thread(target=save, args=(client, n)) for n in range(12)]
        saved = 0
        for thread in threads:
            thread.start()
            saved += client.post("/consolidate_memories")["saved_positives"]
        for thread in threads:
            thread.join()
        saved += client.post("/consolidate_memories")["saved_positives"]
    assert saved == 12


def test_files_stay_in_their_folder(agent: Agent, tmp_path: Path) -> None:
    with agent() as client:
        client.post("/memory_bank_save", rollout(data_id="../../outside"))
        client.post("/batch_evaluate")
        client.post("/save_memory")
    written = {path.parent.name for path in tmp_path.rglob("*.jsonl*")}
    assert written <= {"ttrl", ".whole"}
