"""Categories of questions, on a labelled set.

The set was written for this test, in the wordings of multi-hop data sets, of search logs and of
plain talk, before the classifier was run on it; the label is what the answer is.
"""

from __future__ import annotations

import pytest

from mia.memories.workflow.classify import CATEGORIES, category

LABELLED = {
    "location": """
        Where was the director of film Hanna's War born?
        Which country is the performer of song Tu Tu Tu from?
        In which city did the author of Emma die?
        What is the place of birth of the composer of La Mer?
        What is the capital of Burkina Faso?
        Are Weeze Airport and Lae Nadzab Airport located in the same country?
        Which river flows through Vienna and Budapest?
        What is the highest mountain in the Andes?
        Where is the headquarters of the company that makes the Corolla?
        In what county is the village of Stanari?
        Which island did Napoleon return from in 1815?
        What state is the birthplace of the actor who played Spock in?
        """,
    "human": """
        Who directed the film that won the Palme d'Or in 1994?
        Who is the maternal grandfather of Agnes of Burgundy?
        Whose wife was the painter Lee Krasner?
        Who was born later, Alison Winter or Harry J. Anslinger?
        What is the name of the spouse of the producer of Jaws?
        Which actor played the lead in the first Bond film?
        Which president signed the Civil Rights Act?
        Who wrote the novel that Blade Runner is based on?
        Name the founder of the company that built the Titanic.
        Which of the two scientists discovered polonium?
        By whom was the Mona Lisa stolen in 1911?
        """,
    "time": """
        When did the director of film Hanna's War die?
        What is the date of birth of Prince Hubertus's father?
        In what year was the band that sang Africa formed?
        On which day did the Apollo 11 crew return to Earth?
        What year did the author of Dune publish his first story?
        During which century was the cathedral of Reims built?
        When was the university attended by Ada Yonath founded?
        What was the release date of the second Matrix film?
        Since when has Lesotho been independent?
        How long ago did the dinosaurs die out?
        """,
    "career": """
        What is the occupation of the husband of Rita Moreno?
        What did Marie Curie's older daughter do for a living?
        Which award did the performer of song Hurt receive?
        What position did Thomas Hyde Villiers hold in 1832?
        Which club did the scorer of the 1966 hat-trick play for?
        Which university did the inventor of the Web work at?
        What is the profession of Cindy Shannon?
        Who employed the father of Johann Sebastian Bach, and as what kind of musician?
        Where did the author of The Hobbit study?
        Which prize did the mother of Irene Joliot-Curie win twice?
        """,
    "process": """
        How do you make sourdough starter from scratch?
        How does a heat pump work?
        How is aspirin synthesised from salicylic acid?
        What are the steps to register a trademark in the EU?
        How can I remove rust from cast iron?
        How did the Egyptians move the stones of the pyramids?
        How to convert a PyTorch model to ONNX?
        Describe the procedure for electing a new pope.
        What is the method used to date cave paintings?
        How are vaccines tested before approval?
        """,
    "definition": """
        What is a quasar?
        What does the Latin phrase carpe diem mean?
        Define opportunity cost.
        What is meant by the term soft power?
        What is photosynthesis?
        What does NATO stand for?
        Explain what an eigenvector is.
        What is the definition of a limited company?
        What are black swans in finance?
        What is the meaning of the word hygge?
        """,
    "event": """
        Which battle ended the reign of Richard III?
        What happened at Chernobyl in April 1986?
        Which war was fought between Argentina and Britain?
        What event caused the closing of the Suez Canal in 1967?
        Which tournament did Germany win in 2014?
        What led to the fall of the Western Roman Empire?
        In which election was Margaret Thatcher first voted in?
        Which treaty ended the Thirty Years' War?
        What disaster sank the Titanic's sister ship?
        Which festival takes place in Pamplona every July?
        """,
    "function": """
        What is the function of the mitochondria?
        What is a sextant used for?
        What is the purpose of the United Nations Security Council?
        What role does insulin play in the body?
        What does a carburettor do?
        Why do cars have a catalytic converter?
        What is the use of the appendix?
        What is the job of a compiler's linker?
        What are the kidneys responsible for?
        """,
    "property": """
        How tall is the building that King Kong climbed?
        How many children did the painter of Guernica have?
        What nationality is the director of film The Sawdust Trail?
        Do Georges Ulmer and Lee Soung-Yong share the same nationality?
        What is the population of the birthplace of Mozart?
        What colour is the flag of the country that won Euro 2004?
        How old was the youngest signer of the declaration?
        What is the boiling point of the lightest metal?
        How far is the Moon from the Earth?
        What is the atomic number of the element named after Curie?
        What language is spoken by the author of Kitchen?
        Is the Nile longer than the Amazon?
        What was the budget of the highest-grossing film of 1997?
        """,
    "others": """
        Which film was released first, 2012: Ice Age or Megam Karuththirukku?
        Which film has the director who died first, Lola or One Minute To Play?
        What is the title of the first album of the band from Basildon?
        Which magazine was started first, Arthur's Magazine or First for Women?
        What song did the winner of Eurovision 1974 sing?
        Which company owns the studio behind Toy Story?
        Which book was the film Arrival based on?
        Which band recorded the soundtrack of Flash Gordon?
        What breed is the dog in the Tintin comics?
        Which newspaper broke the Watergate story?
        """,
}
PAIRS = [
    (question.strip(), label)
    for label, lines in LABELLED.items()
    for question in lines.strip().splitlines()
]


def test_the_set_is_large_and_covers_every_category() -> None:
    assert len(PAIRS) >= 80
    assert set(LABELLED) == set(CATEGORIES)


def test_most_questions_get_the_category_of_their_answer() -> None:
    wrong = [(question, label, category(question)) for question, label in PAIRS]
    wrong = [item for item in wrong if item[1] != item[2]]
    assert 1 - len(wrong) / len(PAIRS) >= 0.85, wrong


@pytest.mark.parametrize("label", CATEGORIES)
def test_no_category_is_lost_on_the_classifier(label: str) -> None:
    of_label = [question for question, wanted in PAIRS if wanted == label]
    right = sum(category(question) == label for question in of_label)
    assert right / len(of_label) >= 0.6


@pytest.mark.parametrize("text", ["", "   ", "?", "Ünïcödé", "who\x00", "a" * 100_000])
def test_any_text_has_a_category(text: str) -> None:
    assert category(text) in CATEGORIES
