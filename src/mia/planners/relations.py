"""Procedures as words: the relations that a typed step can ask for, how a step asks for one, how
people ask, and how a longer question mentions one. English phrasing only; no facts.

The rule planner reads questions by these phrasings, and the embedded planner is taught with them.
"""

from __future__ import annotations

# fmt: off

ASK: dict[str, tuple[str, ...]] = {
    # the first form is the one that plans use
    "director": ("Who is the director of {}?", "Who directed {}?", "{} was directed by whom?"),
    "performer": ("Who is the performer of {}?", "Who performed {}?", "Who sang {}?",
                  "Which artist recorded {}?"),
    "composer": ("Who is the composer of {}?", "Who composed {}?", "Who wrote the music of {}?"),
    "author": ("Who is the author of {}?", "Who wrote {}?"),
    "producer": ("Who is the producer of {}?", "Who produced {}?"),
    "screenwriter": ("Who is the screenwriter of {}?", "Who wrote the screenplay of {}?"),
    "creator": ("Who is the creator of {}?", "Who created {}?"),
    "editor": ("Who is the editor of {}?", "Who edited {}?"),
    "presenter": ("Who is the presenter of {}?", "Who hosts {}?"),
    "publisher": ("Who is the publisher of {}?", "Which company published {}?"),
    "developer": ("Who is the developer of {}?", "Who developed {}?"),
    "record label": ("What is the record label of {}?", "Which label released {}?"),
    "founded by": ("Who is the founder of {}?", "Who founded {}?", "By whom was {} founded?"),
    "owner": ("Who is the owner of {}?", "Who owns {}?"),
    "father": ("Who is the father of {}?", "Who was {}'s father?", "Whose child is {}?"),
    "mother": ("Who is the mother of {}?", "Who was {}'s mother?"),
    "spouse": ("Who is the spouse of {}?", "Who was {} married to?", "Who did {} marry?",
               "Who is {}'s husband?", "Who is {}'s wife?"),
    "child": ("Who is the child of {}?", "Who is a son or daughter of {}?"),
    "sibling": ("Who is the sibling of {}?", "Who is a brother or sister of {}?"),
    "date of birth": ("When was {} born?", "What is the date of birth of {}?",
                      "On what day was {} born?"),
    "date of death": ("When did {} die?", "What is the date of death of {}?"),
    "place of birth": ("Where was {} born?", "What is the place of birth of {}?",
                       "In which city was {} born?", "What is the birthplace of {}?"),
    "place of death": ("Where did {} die?", "What is the place of death of {}?"),
    "place of burial": ("Where was {} buried?", "What is the place of burial of {}?"),
    "cause of death": ("How did {} die?", "What did {} die of?"),
    "country of citizenship": ("What is the nationality of {}?", "Which country is {} from?",
                               "What country is {} a citizen of?"),
    "educated at": ("Where did {} study?", "Which school did {} attend?",
                    "Where was {} educated?"),
    "employer": ("Where did {} work?", "Who employed {}?"),
    "award received": ("Which award did {} receive?", "What did {} win?"),
    "occupation": ("What is the occupation of {}?", "What did {} do for a living?",
                   "What is {} known as?"),
    "member of": ("Which team or group does {} belong to?", "Who did {} play for?"),
    "position": ("What office did {} hold?", "What position did {} have?"),
    "publication date": ("When was {} released?", "When was {} published?",
                         "What is the release date of {}?", "In what year did {} come out?"),
    "inception": ("When was {} founded?", "When was {} established?", "When did {} begin?"),
    "country of origin": ("What is the country of origin of {}?", "Which country is {} from?"),
    "country": ("Which country is {} in?", "In what country is {} located?"),
    "located in": ("Where is {} located?", "What county or region is {} in?"),
    "headquarters": ("Where is the headquarters of {}?", "Where is {} based?",
                     "What city is {} headquartered in?"),
    "capital": ("What is the capital of {}?",),
    "genre": ("What is the genre of {}?", "What kind of work is {}?"),
    "instance of": ("What is {}?", "What kind of thing is {}?"),
    "language": ("What language is {} in?", "In which language was {} made?"),
    "population": ("What is the population of {}?", "How many people live in {}?"),
    "length": ("How long is {}?",),
    "height": ("How high is {}?",),
    "named after": ("What is {} named after?", "Who is {} named for?"),
    "notable work": ("What is {} best known for?", "What made {} famous?"),
    "part of": ("What is {} part of?", "Which series or group does {} belong to?"),
    "based on": ("What is {} based on?",),
    "starring": ("Who stars in {}?", "Which actor appears in {}?"),
}

# how a question mentions what a first hop finds: (relation, phrasings, kind of entity)
MENTION: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("director", ("the director of film {}", "the director of the film {}", "the director of {}",
                  "the person who directed {}", "{}'s director"), "film"),
    ("composer", ("the composer of film {}", "the composer of {}",
                  "the person who wrote the music of {}"), "film"),
    ("producer", ("the producer of film {}", "the producer of {}"), "film"),
    ("screenwriter", ("the screenwriter of film {}", "the writer of the screenplay of {}"), "film"),
    ("performer", ("the performer of song {}", "the performer of the song {}", "the singer of {}",
                   "the artist who recorded {}", "the performer of {}"), "song"),
    ("composer", ("the composer of song {}", "the composer of {}"), "song"),
    ("performer", ("the performer of album {}", "the band that recorded {}"), "song"),
    ("author", ("the author of {}", "the writer of {}", "the person who wrote {}"), "book"),
    ("publisher", ("the publisher of {}", "the company that published {}"), "book"),
    ("creator", ("the creator of {}", "the person who created {}"), "work"),
    ("presenter", ("the presenter of {}", "the host of {}"), "work"),
    ("editor", ("the editor of {}", "the editor of magazine {}"), "work"),
    ("founded by", ("the founder of {}", "the person who founded {}"), "organisation"),
    ("owner", ("the owner of {}", "the company that owns {}"), "organisation"),
    ("father", ("{}'s father", "the father of {}"), "person"),
    ("mother", ("{}'s mother", "the mother of {}"), "person"),
    ("spouse", ("{}'s husband", "{}'s wife", "the spouse of {}", "the wife of {}",
                "the husband of {}", "{}'s spouse"), "person"),
    ("child", ("{}'s child", "the son of {}", "the daughter of {}"), "person"),
    ("sibling", ("{}'s brother", "{}'s sister", "the sibling of {}"), "person"),
    ("country", ("the country where {} is located", "the country that {} is in",
                 "the country of {}"), "place"),
    ("place of birth", ("the birthplace of {}", "the city where {} was born",
                        "the place where {} was born"), "person"),
    ("educated at", ("the school that {} attended", "the university where {} studied"), "person"),
    ("record label", ("the record label of {}", "the label that released {}"), "song"),
)

# what is then asked about it; {} is the mention
FINAL: dict[str, tuple[str, ...]] = {
    "date of birth": ("When was {} born?", "What is the date of birth of {}?",
                      "When is {} 's birthday?", "When is {}'s birthday?"),
    "date of death": ("When did {} die?", "What is the date of death of {}?"),
    "place of birth": ("Where was {} born?", "What is the place of birth of {}?",
                       "Where was the place of birth of {}?", "In which city was {} born?"),
    "place of death": ("Where did {} die?", "What is the place of death of {}?",
                       "Where was the place of death of {}?"),
    "place of burial": ("Where was {} buried?", "What is the place of burial of {}?",
                        "Where was the place of burial of {}?"),
    "cause of death": ("Why did {} die?", "What is the cause of death of {}?", "How did {} die?"),
    "country of citizenship": ("What nationality is {}?", "Which country {} is from?",
                               "What is the nationality of {}?", "Which country is {} from?"),
    "award received": ("Which award {} received?", "What is the award that {} received?",
                       "What is the award that {} got?", "Which award did {} win?",
                       "Which award {} got?"),
    "educated at": ("Where did {} graduate from?", "Where did {} study?",
                    "Where was {} educated at?", "Which university did {} attend?",
                    "Where did {} study at?"),
    "employer": ("Where does {} work at?", "Where did {} work?", "Who employs {}?"),
    "occupation": ("What is the occupation of {}?", "What does {} do for a living?"),
    "spouse": ("Who is the spouse of {}?", "Who is the wife of {}?", "Who did {} marry?",
               "Who is the husband of {}?"),
    "father": ("Who is the father of {}?",),
    "mother": ("Who is the mother of {}?",),
    "child": ("Who is the child of {}?", "Who is the son of {}?"),
    "sibling": ("Who is the sibling of {}?", "Who is the brother of {}?"),
    "inception": ("When was {} founded?", "When was {} established?"),
    "headquarters": ("Where is the headquarters of {}?", "Where is {} based?"),
    "capital": ("What is the capital of {}?",),
    "population": ("What is the population of {}?",),
    "country": ("Which country is {} in?", "In which country is {} located?"),
}
PERSONAL = ("date of birth", "date of death", "place of birth", "place of death", "place of burial",
            "cause of death", "country of citizenship", "award received", "educated at", "employer",
            "occupation", "spouse", "father", "mother", "child", "sibling")
AFTER: dict[str, tuple[str, ...]] = {
    "publisher": ("inception", "headquarters", "country"),
    "owner": ("inception", "headquarters"),
    "country": ("capital", "population"),
    "place of birth": ("country", "population"),
    "educated at": ("inception", "country"),
    "record label": ("inception", "headquarters"),
}
"""What may follow a first hop that does not find a person."""

KIN: dict[str, tuple[str, str]] = {
    "paternal grandfather": ("father", "father"),
    "paternal grandmother": ("father", "mother"),
    "maternal grandfather": ("mother", "father"),
    "maternal grandmother": ("mother", "mother"),
    "grandfather": ("father", "father"),
    "stepfather": ("mother", "spouse"),
    "stepmother": ("father", "spouse"),
    "step-mother": ("father", "spouse"),
    "father-in-law": ("spouse", "father"),
    "mother-in-law": ("spouse", "mother"),
    "uncle": ("father", "sibling"),
    "aunt": ("father", "sibling"),
    "sibling-in-law": ("sibling", "spouse"),
    "brother-in-law": ("sibling", "spouse"),
    "co-husband": ("spouse", "spouse"),
    "child-in-law": ("child", "spouse"),
    "son-in-law": ("child", "spouse"),
    "grandchild": ("child", "child"),
}

# (relation, rule, kinds of entity, phrasings)
COMPARE: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("date of birth", "first", ("person",), (
        "Who is older, {} or {}?", "Who was born first, {} or {}?", "Who was born earlier, {} or {}?",
        "Was {} or {} born first?", "Who was born first out of {} and {}?",
        "Between {} and {}, who was born first?")),
    ("date of birth", "last", ("person",), (
        "Who is younger, {} or {}?", "Who was born later, {} or {}?", "Who was born last, {} or {}?",
        "Of {} and {}, who is the younger?")),
    ("date of death", "first", ("person",), (
        "Who died first, {} or {}?", "Who died earlier, {} or {}?", "Did {} or {} die first?")),
    ("date of death", "last", ("person",), ("Who died later, {} or {}?", "Who died last, {} or {}?")),
    ("publication date", "first", ("film", "song", "book", "work"), (
        "Which film was released earlier, {} or {}?", "Which film came out first, {} or {}?",
        "Which film was released first, {} or {}?", "Which film came out earlier, {} or {}?",
        "Which album was released first, {} or {}?", "Which song came out first, {} or {}?",
        "Which was published first, {} or {}?", "Was {} or {} published first?")),
    ("publication date", "last", ("film", "song", "book", "work"), (
        "Which film was released more recently, {} or {}?", "Which film came out later, {} or {}?",
        "Which album was released later, {} or {}?", "Which is the newer work, {} or {}?")),
    ("inception", "first", ("organisation", "place"), (
        "Which was founded first, {} or {}?", "Which company was established earlier, {} or {}?",
        "Which band was formed first, {} or {}?", "Was {} or {} founded first?",
        "Which magazine was started first, {} or {}?", "Which school is older, {} or {}?",
        "Which university was established first, {} or {}?")),
    ("inception", "last", ("organisation",), (
        "Which was founded later, {} or {}?", "Which is the younger organisation, {} or {}?")),
    ("population", "last", ("place",), (
        "Which has more inhabitants, {} or {}?", "Which city is larger, {} or {}?")),
    ("length", "last", ("place",), ("Which is longer, {} or {}?", "Which river is longer, {} or {}?")),
    ("height", "last", ("place",), ("Which is higher, {} or {}?", "Is {} or {} taller?",
                                    "Which mountain is taller, {} or {}?")),
    ("country", "same", ("place",), (
        "Are both {} and {} located in the same country?",
        "Are {} and {} both located in the same country?",
        "Are {} and {} located in the same country?",
        "Are both villages, {} and {}, located in the same country?",
        "Are both high schools, {} and {}, located in the same country?",
        "Are both rivers, {} and {}, located in the same country?",
        "Are both universities, {} and {}, located in the same country?",
        "Is {} in the same country as {}?")),
    ("country of citizenship", "same", ("person",), (
        "Were {} and {} of the same nationality?", "Do {} and {} have the same nationality?",
        "Did {} and {} share the same nationality?", "Do {} and {} share the same nationality?",
        "Were {} and {} from the same country?", "Are {} and {} of the same nationality?",
        "Does {} have the same nationality as {}?", "Are {} and {} both from the same country?")),
    ("country of origin", "same", ("film", "organisation", "song"), (
        "Are {} and {} both from the same country?", "Are both {} and {} from the same country?",
        "Are {} and {} from the same country?", "Did the movies {} and {}, originate from the same country?",
        "Are the movies {} and {}, from the same country?", "Are both bands, {} and {}, from the same country?",
        "Do the bands {} and {}, originate from the same country?")),
    ("place of birth", "same", ("person",), (
        "Were both {} and {}, born in the same place?", "Were {} and {} born in the same city?")),
    ("occupation", "same", ("person",), (
        "Do {} and {} have the same profession?", "Did {} and {} have the same occupation?")),
    ("genre", "same", ("film", "song", "work"), ("Are {} and {} of the same genre?",)),
    ("instance of", "same", ("work", "place", "organisation"), (
        "Are {} and {} the same kind of thing?",)),
)

LIVED = ("Who lived longer, {} or {}?", "Who had a longer life, {} or {}?")

# (first relation, what is compared, rule, phrasings)
BRIDGE: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("director", "date of birth", "first", (
        "Which film has the director who was born earlier, {} or {}?",
        "Which film has the director who is older, {} or {}?",
        "Which film has the director who was born first, {} or {}?",
        "Which film whose director was born first, {} or {}?",
        "Which film has the director born first, {} or {}?",
        "Which film has the director born earlier, {} or {}?",
        "Which film has the director who is older than the other, {} or {}?")),
    ("director", "date of birth", "last", (
        "Which film has the director who was born later, {} or {}?",
        "Which film whose director is younger, {} or {}?",
        "Which film has the director born later, {} or {}?",
        "Which film has the director who is younger, {} or {}?")),
    ("director", "date of death", "first", (
        "Which film has the director who died earlier, {} or {}?",
        "Which film has the director who died first, {} or {}?",
        "Which film has the director died first, {} or {}?")),
    ("director", "date of death", "last", (
        "Which film has the director died later, {} or {}?",
        "Which film has the director who died later, {} or {}?",
        "Which film whose director died later, {} or {}?")),
    ("director", "country of citizenship", "same", (
        "Do both films {} and {} have the directors that share the same nationality?",
        "Are the directors of both films {} and {} from the same country?",
        "Do both directors of films {} and {} have the same nationality?",
        "Do both films {} and {} have the directors from the same country?",
        "Are director of film {} and director of film {} both from the same country?",
        "Do both films, {} and {}, have the directors who are from the same country?",
        "Are director of film {} and director of film {} from the same country?",
        "Do director of film {} and director of film {} share the same nationality?",
        "Do director of film {} and director of film {} have the same nationality?",
        "Do both films: {} and {} have the directors from the same country?",
        "Are the directors of films {} and {} both from the same country?",
        "Do both {} and {} films have the directors from the same country?")),
    ("performer", "date of birth", "first", (
        "Which song has the performer who was born earlier, {} or {}?",
        "Which song was performed by the older singer, {} or {}?")),
    ("performer", "country of citizenship", "same", (
        "Are the performers of {} and {} from the same country?",)),
    ("author", "date of birth", "first", (
        "Which book has the author who was born first, {} or {}?",
        "Which was written by the older author, {} or {}?")),
    ("author", "date of death", "last", ("Which book's author died later, {} or {}?",)),
    ("author", "country of citizenship", "same", (
        "Are the authors of {} and {} of the same nationality?",)),
    ("composer", "date of birth", "last", ("Which work has the younger composer, {} or {}?",)),
)
