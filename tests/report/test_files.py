"""The files of a report: whole, the same twice, and safe whatever a question or a method says."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from msgspec.structs import replace
from tests.report.making import RIGHT, done, entry, lifelike, questions, results, scored

from mia.errors import StoreError
from mia.evaluate import Results
from mia.report.figures import figures
from mia.report.files import Line, Written, write
from mia.report.markdown import plain
from mia.report.plots import VARIABLES
from mia.report.summary import Summary, report_of, summarise
from mia.types import Note, Recollection, Usage, decode

HOSTILE = (
    "<script>alert(1)</script>", "</td></table><img src=x onerror=alert(1)>", "]]><b>", "a | b",
    "`code` **bold** _it_ ~no~", "[link](http://example.org) <http://example.org> www.example.org",
    "# head\n\n- item\n\n| a |\n|---|", "&lt;i&gt; &amp; $x$", "{{ 7 * 7 }} {% raw %}",
    "\"'> onload=", "\x00\x1b[31m\u202e\ufeff\uffff", "\\| \\` \\", "![x](data:image/svg+xml,x)",
)  # fmt: skip
VOID = {"meta", "br", "hr", "img", "link", "input"}
PARTS = {"figure-accuracy", "figure-differences", "figure-curves", "figure-practice", "figure-cost"}


def small() -> Results:
    """Three methods of two seeds, which have every figure and table there is."""
    return lifelike(("none", "mia", "closed"), count=24, seeds=(0, 1))


class Seen(HTMLParser):
    """What a browser would make of a page: its elements, their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} ends what it did not begin"

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, key, value in self.attributes if key == name]


def hostile() -> Results:
    """An evaluation in which every text that comes from outside is an attack."""
    asked = tuple(
        replace(question, text=text, family=text, answers=(f"town {text}",))
        for question, text in zip(questions(len(HOSTILE)), HOSTILE, strict=True)
    )
    entries = [
        entry(question, RIGHT, recollection=Recollection(
            notes=(Note(text=f"It was {question.answers[0]}.", id=text),)))
        for question, text in zip(asked, HOSTILE, strict=True)
        if question.answers
    ]  # fmt: skip
    methods = [done(text, asked, entries) for text in (*HOSTILE[:4], HOSTILE[7], HOSTILE[10])]
    return results(asked, scored("none", asked, "-" * len(asked)), *methods, name=HOSTILE[0])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(report_of(small()), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(report_of(hostile()), tmp_path_factory.mktemp("attacked"))


def read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def test_a_page_needs_nothing_but_itself_and_may_run_nothing(written: Written) -> None:
    page = read(written.page)
    seen = Seen(page)
    assert not seen.open
    assert not {"script", "link", "img", "iframe", "object", "a", "form"} & set(seen.tags)
    assert not re.search(r"(?:https?:)?//\w", page) and "@import" not in page
    assert all(value.startswith("#") for value in seen.values("href"))
    assert not [name for _, name, _ in seen.attributes if name.startswith("on")]
    policy = [v for v in seen.values("content") if v.startswith("default-src 'none'")]
    assert policy and "script-src" not in policy[0]


def test_a_page_has_headings_captions_and_names_for_its_figures(written: Written) -> None:
    seen = Seen(read(written.page))
    ids = seen.values("id")
    assert len(ids) == len(set(ids))
    assert seen.tags.count("svg") == len(PARTS) == seen.tags.count("figcaption")
    assert seen.tags.count("h1") == 1 and seen.tags.count("caption") == seen.tags.count("table")
    for name in ("aria-labelledby", "aria-describedby"):
        assert set(seen.values(name)) <= set(ids)
    assert seen.values("role").count("img") == len(PARTS)
    assert {"col", "row"} == set(seen.values("scope"))


def test_figures_take_their_colours_from_the_page_for_light_and_dark(written: Written) -> None:
    page = read(written.page)
    drawn = "".join(_drawings(written))
    assert "var(--main)" in drawn and not re.findall(r"#[0-9a-f]{6}\b(?!-)", drawn)
    dark = page[page.index("prefers-color-scheme: dark") :]
    for variable in VARIABLES.values():
        assert f"--{variable}: " in dark


def test_what_a_figure_cites_is_in_it_and_in_no_other(written: Written) -> None:
    for drawing in _drawings(written):
        ids = {element.get("id") for element in ET.fromstring(drawing).iter()}
        cited = set(re.findall(r'(?:url\(|href=")#([^)"]+)', drawing))
        assert cited and cited <= ids


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    report = report_of(small())
    one, other = write(report, tmp_path / "one"), write(report, tmp_path / "other")
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*")]
    assert len(files) == 4 + len(PARTS)
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()
    assert one != other


def test_hostile_text_is_shown_and_is_no_element_of_the_page(attacked: Written) -> None:
    page = read(attacked.page)
    seen = Seen(page)
    assert not seen.open and not {"script", "img", "b"} & set(seen.tags)
    assert not [name for _, name, _ in seen.attributes if name.startswith("on")]
    told = "".join(seen.text)
    for text in HOSTILE[:6] + HOSTILE[7:10]:
        assert text in told, text
    assert not set("\x00\x1b\u202e\ufeff") & set(page)


def test_hostile_names_are_text_in_figures(attacked: Written) -> None:
    drawn = [ET.fromstring(each) for each in _drawings(attacked)]
    tags = {element.tag for root in drawn for element in root.iter()}
    assert tags <= {"svg", "title", "defs", "g", "path", "text", "use", "clipPath", "rect"}
    told = [element.text or "" for element in drawn[0].iter("text")]
    assert "<script>alert(1)</script>" in told and "&lt;i&gt; &amp; $x$" in told


def _drawings(report: Written) -> list[str]:
    return re.findall(r"<svg.*?</svg>", read(report.page), re.DOTALL)


def test_hostile_text_is_plain_in_markdown(attacked: Written) -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(read(attacked.markdown))
    inner = [child for token in tokens for child in token.children or []]
    kinds = {token.type for token in (*tokens, *inner)}
    assert not kinds & {"html_block", "html_inline", "link_open", "code_inline", "strong_open",
                        "em_open", "s_open", "fence", "code_block"}  # fmt: skip
    images = [child for child in inner if child.type == "image"]
    assert [str(image.attrs["src"]) for image in images] == [
        f"figures/{name}.png" for name in
        ("figure-accuracy", "figure-differences", "figure-curves", "figure-practice", "figure-cost")
    ]  # fmt: skip
    assert sum(token.type == "heading_open" and token.tag == "h1" for token in tokens) == 1
    told = {child.content for child in inner if child.type == "text"}
    assert any("<script>alert(1)</script>" in text for text in told)


def test_every_row_of_a_markdown_table_has_as_many_cells_as_its_head(attacked: Written) -> None:
    for table in re.findall(r"(?:^\|.*\|$\n?)+", read(attacked.markdown), re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


@pytest.mark.parametrize("text", HOSTILE)
def test_plain_text_is_one_line(text: str) -> None:
    assert "\n" not in plain(text) and "\x00" not in plain(text) and "\u202e" not in plain(text)


def test_every_answer_is_a_line_as_it_was_given(written: Written) -> None:
    made = small()
    lines = [decode(line, Line) for line in Path(written.episodes).read_bytes().splitlines()]
    given = [(d.arm.method, d.arm.seed, e.episode) for d in made.arms for e in d.entries]
    assert [(line.method, line.seed, line.episode) for line in lines] == given
    assert [line.position for line in lines[:3]] == [1, 2, 3]
    assert all(line.right == (line.episode.verdict.value is RIGHT) for line in lines)


def test_the_summary_is_written_as_it_was_counted(written: Written) -> None:
    assert decode(read(written.summary), Summary) == summarise(small())


def test_an_evaluation_without_an_answer_has_a_report_all_the_same(tmp_path: Path) -> None:
    asked = questions(3)
    made = results(asked, scored("none", asked, ""), scored("mia", asked, ""))
    written = write(report_of(made), tmp_path)
    assert "none is not at its end: 0 of 3" in read(written.page)
    assert not list((tmp_path / "figures").iterdir())


def test_a_lone_method_is_no_baseline(tmp_path: Path) -> None:
    asked = questions(3)
    written = write(report_of(results(asked, scored("mia", asked, "+-+"))), tmp_path)
    for told in (read(written.page), read(written.markdown)):
        assert "baseline" not in told and "dashed" not in told
    assert "var(--base)" not in "".join(_drawings(written))
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {
        "figure-accuracy", "figure-curves"
    }  # fmt: skip


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file", encoding="utf-8")
    asked = questions(1)
    with pytest.raises(StoreError, match="blocked"):
        write(report_of(results(asked, scored("mia", asked, ""))), blocked)


def test_names_in_other_letters_are_drawn_without_a_warning() -> None:
    asked = questions(3)
    drawn = figures(summarise(results(asked, scored("記憶 $5", asked, "+-+"))))
    assert "記憶 $5" in drawn[0].svg


def test_of_methods_that_are_level_none_is_called_the_highest() -> None:
    asked = questions(3)
    level = results(asked, scored("mia", asked, "+-+"), scored("rag", asked, "-++"))
    alone = results(asked, scored("mia", asked, "+-+"), scored("rag", asked, "--+"))
    assert "The highest is 0.667, of mia, rag." in figures(summarise(level))[0].alt
    assert "The highest is mia with 0.667" in figures(summarise(alone))[0].alt


def test_how_it_came_about_stands_last_and_long_settings_are_folded(tmp_path: Path) -> None:
    asked, long = questions(1), f'"{"x" * 300}"'
    made = results(asked, scored("mia", asked, "+"))
    made = made._replace(evaluation=replace(made.evaluation, settings=long))
    written = write(report_of(made), tmp_path)
    page, told = read(written.page), read(written.markdown)
    assert "<details><summary>302 characters</summary>" in page and page.count("<details>") == 1
    assert told.index("## How right") < told.index("## How this came about") < told.index(long)


def test_costs_far_apart_have_a_scale_in_plain_numbers() -> None:
    asked = questions(2)
    arms = [
        done(name, asked, [entry(each, usage=Usage(prompt_tokens=tokens)) for each in asked])
        for name, tokens in (("cheap", 70), ("dear", 90_000))
    ]
    (cost,) = (f.svg for f in figures(summarise(results(asked, *arms))) if "tokens" in f.svg)
    assert "mathdefault" not in cost
    assert ">100<" in cost and ">50,000<" in cost
