"""Folders of documents: cut into passages that stand for themselves, nothing left out unsaid."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.errors import InputError
from mia.search.documents import cut, passages
from mia.types import Passage

WORDS = "word " * 98


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_folder_is_cut_into_passages_of_whole_paragraphs(tmp_path: Path) -> None:
    long = "\n\n".join(f"Paragraph {number}. " + WORDS for number in range(3))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "the_river-adige.md").write_text("\ufeffA river.\r\n\r\nIt flows.\n")
    (tmp_path / "tales.TXT").write_text(long)
    (tmp_path / "empty.md").touch()
    (tmp_path / "a folder.md").mkdir()
    (tmp_path / "picture.png").write_bytes(b"\xff\xfe")
    found = list(passages(tmp_path))
    assert [(p.id, p.title) for p in found] == [
        ("deep/the_river-adige.md#1", "the river adige"),
        ("tales.TXT#1", "tales"),
        ("tales.TXT#2", "tales"),
        ("tales.TXT#3", "tales"),
    ]
    assert found[0].text == "A river.\n\nIt flows."
    assert [p.text.split(". ")[0] for p in found[1:]] == [f"Paragraph {n}" for n in range(3)]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# The Adige\n\nA river.", "The Adige"),
        ("A river.\n\n## Where it flows ##\n\nVerona.", "Where it flows"),
        ('---\ntags: [water]\ntitle: "The Adige"\n---\n# Rivers\n\nOne.', "The Adige"),
        ("---\ntags: [water]\n---\nA river.", "a b"),
        ("```\n# no heading\n```\n", "a b"),
        ("#hashtag\n\nText.", "a b"),
    ],
)
def test_a_document_has_its_own_title_or_that_of_its_file(
    tmp_path: Path, text: str, title: str
) -> None:
    (tmp_path / "a-b.md").write_text(text)
    assert {p.title for p in passages(tmp_path)} == {title}


def test_a_passage_keeps_the_headings_that_it_stands_under() -> None:
    text = f"# Adige\n\n## Course\n\n### Source\n\n{WORDS}\n\n{WORDS}\n\n## History\n\nFloods."
    assert [t.replace(WORDS.strip(), "W") for t in cut(text, "Adige")] == [
        "## Course\n\n### Source\n\nW", "## Course\n\n### Source\n\nW", "## History\n\nFloods."
    ]  # fmt: skip


def test_short_sections_share_a_passage() -> None:
    text = "# Town\n\n## Air\n\nFresh.\n\n## Food\n\nGood.\n\n## People\n\n" + WORDS
    assert list(cut(text, "Town")) == [
        "## Air\n\nFresh.\n\n## Food\n\nGood.\n\n## People\n\n" + WORDS.strip()
    ]


def test_a_passage_does_not_end_with_the_heading_of_the_next() -> None:
    text = "Small.\n\n## Course\n\n" + "word " * 180
    assert list(cut(text, "")) == ["Small.", "## Course\n\n" + ("word " * 180).strip()]


def test_a_list_of_headings_is_a_text_too() -> None:
    assert list(cut("# Buy milk\n\n# Call Ann\n", "todo")) == ["# Buy milk\n\n# Call Ann"]


def test_a_document_that_is_nothing_but_its_title_says_that(tmp_path: Path) -> None:
    written(tmp_path, milk_dot_md="# Buy milk\n", front_dot_md="---\ntitle: Front\n---\n")
    assert list(passages(tmp_path)) == [
        Passage(id="milk.md#1", title="Buy milk", text="# Buy milk")
    ]  # fmt: skip


def test_one_document_is_a_corpus_by_itself(tmp_path: Path) -> None:
    written(tmp_path, a_dot_md="Seen.", b_dot_md="Not asked for.", empty_dot_txt="")
    assert [(p.id, p.text) for p in passages(tmp_path / "a.md")] == [("a.md#1", "Seen.")]
    with pytest.raises(InputError, match=r"empty\.txt has no text$"):
        list(passages(tmp_path / "empty.txt"))
    (tmp_path / "latin.txt").write_bytes("Bärnstein".encode("latin-1"))
    told: list[str] = []
    with pytest.raises(InputError, match=r"latin\.txt is not UTF-8"):
        list(passages(tmp_path / "latin.txt", told.append))
    assert told == []


def test_what_stands_between_fences_stays_together() -> None:
    code = "```sh\n# set up\n\nmake\n\n# run\n```"
    assert list(cut(f"Run this:\n\n{code}\n\nDone.", "")) == [f"Run this:\n\n{code}\n\nDone."]


def test_a_paragraph_without_end_is_cut_at_sentences_or_lines_or_anywhere() -> None:
    sentences = " ".join(f"This is sentence number {n} of a scanned book." for n in range(200))
    rows, letters, words, signs = (
        "name,town,year\n" * 500,
        "x" * 10_000,
        "word " * 5000,
        "水。" * 3000,
    )
    for endless in (sentences, rows, letters, words, signs):
        texts = list(cut(endless, ""))
        assert len(texts) > 1 and max(map(len, texts)) <= 2800
        kept = "".join("".join(texts).split())
        assert kept == "".join(endless.split()), "nothing is lost"


@given(st.text(st.sampled_from("ab.# \n`~-"), max_size=300))
def test_no_word_of_a_document_is_lost(text: str) -> None:
    kept = "".join("\n".join(cut(text, "")).split())
    for word in text.split():
        if word.strip("#"):
            assert word.strip("#") in kept


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    written(tmp_path, a_dot_md="Seen.", _dot_git__b_dot_md="No.", c___dot_d_dot_txt="No.")
    assert [p.id for p in passages(tmp_path)] == ["a.md#1"]


def test_web_pages_and_pdfs_are_documents(tmp_path: Path) -> None:
    pytest.importorskip("trafilatura")
    (tmp_path / "adige.html").write_text(
        "<html><head><title>The Adige</title></head><body><article><h1>The Adige</h1>"
        f"<p>It flows past Verona. {WORDS}</p></article></body></html>"
    )
    (tmp_path / "paper.pdf").write_bytes(pdf("It flows past Rovigo."))
    found = {p.id: p for p in passages(tmp_path)}
    assert found["adige.html#1"].title == "The Adige"
    assert "Verona" in found["adige.html#1"].text
    assert found["paper.pdf#1"].title == "paper" and "Rovigo" in found["paper.pdf#1"].text


def test_what_cannot_be_read_is_named_and_left_out_or_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("A river.")
    (tmp_path / "latin.txt").write_bytes("Bärnstein".encode("latin-1"))
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 and then nothing")
    with (tmp_path / "dump.txt").open("wb") as file:
        file.truncate(65 << 20)
    told: list[str] = []
    found = list(passages(tmp_path, told.append))
    assert found == [Passage(id="good.md#1", title="good", text="A river.")]
    reasons = {"broken.pdf": "cannot read", "dump.txt": "65 MB", "latin.txt": "UTF-8"}
    assert len(told) == len(reasons)
    for name, reason in reasons.items():
        (named,) = [line for line in told if name in line]
        assert reason in named
    with pytest.raises(InputError, match=r"broken\.pdf"):
        list(passages(tmp_path))


def test_a_folder_in_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.md").touch()
    with pytest.raises(InputError, match=r"has no text in \.md"):
        list(passages(tmp_path, lambda _: None))
    (tmp_path / "latin.txt").write_bytes("Bärnstein".encode("latin-1"))
    with pytest.raises(InputError, match=r"nothing in .* can be read; first: .*latin\.txt is not"):
        list(passages(tmp_path, lambda _: None))


def pdf(text: str) -> bytes:
    """The smallest PDF that says something."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    made, offsets = b"%PDF-1.4\n", list[int]()
    for number, body in enumerate(objects, 1):
        offsets.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(made)
    made += b"xref\n0 6\n0000000000 65535 f \n" + table
    return made + b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start
