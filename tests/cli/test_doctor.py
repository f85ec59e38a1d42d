"""`mia doctor`, `mia models list`, `mia index` and `mia search`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from tests.cli.playing import Home, Served
from tests.memories.postgres_server import PASSWORD

from mia.cli.doctor import lacking
from mia.journal import Journal
from mia.testing import ProviderStandIns, faults

Mia = Callable[..., Any]


def checks(said: Any) -> dict[str, Any]:
    lines = map(msgspec.json.decode, said.out.splitlines())
    return {line["what"]: line for line in lines}


def test_all_is_well_where_nothing_is_missing(mia: Mia, home: Home) -> None:
    said = mia("doctor", "--corpus", str(home.corpus))
    assert said.code == 0 and "FAIL" not in said.out
    assert "toy at http" in said.out and "64 dimensions" in said.out


def test_what_is_missing_is_named_with_how_to_mend_it(mia: Mia, home: Home) -> None:
    home.config.write_text(f'home = "{home.data}"')
    said = mia("doctor", "--json", "--corpus", "/nowhere")
    found = checks(said)
    assert said.code == 1
    assert found["smollm2-135m"]["mend"] == "mia models get smollm2-135m"
    assert found["minilm"]["mend"] == "mia models get minilm"
    assert "no corpus at /nowhere" in found["corpus"]["said"] and found["corpus"]["mend"]
    assert "→ mia models get minilm" in mia("doctor").out


def test_a_damaged_model_or_store_is_named(mia: Mia, home: Home) -> None:
    model = home.data / "models" / "minilm" / "model.onnx"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"not it")
    (home.data / "memory.db").write_bytes(b"not it either" * 100)
    found = checks(mia("doctor", "--json", "--corpus", str(home.corpus)))
    assert not found["minilm"]["ok"] and "damaged" in found["minilm"]["said"]
    assert not found["memory"]["ok"] and "memory.db" in found["memory"]["said"]


def test_a_damaged_memory_does_not_hide_the_journal(mia: Mia, home: Home) -> None:
    home.data.mkdir()
    (home.data / "memory.db").write_bytes(b"not it" * 100)
    with closing(Journal(home.data / "journal.db")):
        pass
    found = checks(mia("doctor", "--json", "--corpus", str(home.corpus)))
    assert found["journal"]["ok"]


def test_a_memory_on_a_server_is_looked_at(mia: Mia, home: Home, postgres: str) -> None:
    settings = home.config.read_text()
    home.config.write_text(f'{settings}\n[memory]\nstore = "{postgres}"\n')
    found = checks(mia("doctor", "--json", "--corpus", str(home.corpus)))["memory"]
    assert found["ok"] and found["said"].endswith("0 workflows, all whole")
    assert found["said"].startswith("postgresql://") and PASSWORD not in found["said"]
    home.config.write_text(f'{settings}\n[memory]\nstore = "{postgres}-not"\n')
    said = mia("doctor", "--json", "--corpus", str(home.corpus))
    found = checks(said)["memory"]
    assert not found["ok"] and "does not exist" in found["said"]
    assert "MIA_STORE_PASSWORD" in found["mend"]
    assert PASSWORD not in f"{said.out}{said.err}"


def test_a_reranker_is_asked_once(mia: Mia, home: Home) -> None:
    settings = home.config.read_text()
    ranked = faults.json({"results": [{"index": 0, "relevance_score": 0.5}]})
    for answer, well in ((ranked, True), (faults.status(401), False)):
        with Served(lambda _, answer=answer: answer) as server:
            home.config.write_text(
                f'{settings}\n[search.rerank]\nbase_url = "{server.url}"\nmodel = "toy"\n'
            )
            found = checks(mia("doctor", "--json", "--corpus", str(home.corpus)))["reranker"]
        assert found["ok"] is well and ("toy answered" in found["said"]) is well
        assert ("[search.rerank]" in found.get("mend", "")) is not well


def test_what_can_be_installed_beside_is_named_by_its_extra() -> None:
    there, not_there = "numpy>=2.0; extra == 'web'", 'no-such-package>=1 ; extra == "server"'
    assert lacking([there, "no-such-package", "no-such-package>=1; extra == 'dev'"]) == []
    assert lacking([there, not_there]) == ["server"]


def test_the_demos_corpus_is_called_so_and_how_to_search_others(mia: Mia, home: Home) -> None:
    with home.config.open("a") as settings:
        settings.write(
            '[search.web]\norder = ["exa", "wikipedia"]\n[search.web.exa]\nkey_env = "EXA_NONE"\n'
        )
    found = checks(mia("doctor", "--json"))["corpus"]
    assert found["ok"] and found["said"].startswith("the demo's corpus")
    assert "--corpus" in found["mend"] and found["mend"].endswith("EXA_NONE")
    own = checks(mia("doctor", "--json", "--corpus", str(home.corpus)))["corpus"]
    assert str(home.corpus) in own["said"] and "mend" not in own


def test_a_corpus_that_cannot_be_searched_as_the_settings_want_is_named(
    mia: Mia, home: Home
) -> None:
    home.config.write_text(home.config.read_text() + '[search]\nengine = "dense"\n')
    found = checks(mia("doctor", "--json", "--corpus", str(home.corpus)))["corpus"]
    assert not found["ok"] and "mia index embed" in found["said"]


def test_each_provider_of_the_web_is_asked_and_its_refusal_mended(mia: Mia, home: Home) -> None:
    settings = home.config.read_text()
    with ProviderStandIns() as web:
        home.config.write_text(
            f'{settings}[search.web]\norder = ["searxng", "wikipedia"]\n'
            f'[search.web.searxng]\nbase_url = "{web.at("searxng")}"\n'
            f'[search.web.wikipedia]\nbase_url = "{web.at("wikipedia")}"\n'
        )
        web.modes["searxng"] = "rate"
        said = mia("doctor", "--json")
    found = checks(said)
    assert said.code == 1 and "corpus" not in found
    assert found["searxng"]["said"].startswith("answered 429")
    assert "per_second in [search.web.searxng]" in found["searxng"]["mend"]
    assert "contact" in found["wikipedia"]["said"], "nobody said who asks"


def test_settings_that_no_provider_takes_do_not_hide_the_rest(mia: Mia, home: Home) -> None:
    home.config.write_text(
        home.config.read_text()
        + '[search.web]\norder = ["searxng"]\n[search.web.searxng]\nbase_url = "nonsense"\n'
    )
    found = checks(mia("doctor", "--json"))
    assert not found["web"]["ok"] and "[search.web]" in found["web"]["mend"]
    assert found["journal"]["ok"]
    assert mia("doctor", "--web", "--corpus", str(home.corpus)).code == 2


def test_an_endpoint_that_refuses_is_named(mia: Mia, home: Home) -> None:
    with Served(lambda _: faults.status(401, "bad key")) as server:
        home.configure(server.url)
        found = checks(mia("doctor", "--json", "--corpus", str(home.corpus)))
    for what in ("manager", "embedder"):
        assert not found[what]["ok"] and "bad key" in found[what]["said"]
        assert "mia.toml" in found[what]["mend"]


def test_a_home_that_is_a_file_is_named(mia: Mia, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = mia("doctor", "--json", "--home", str(tmp_path / "file"))
    assert said.code == 1 and not checks(said)["home"]["ok"]


def test_the_models_are_listed_with_their_licences(mia: Mia, home: Home) -> None:
    said = mia("models", "list")
    assert said.code == 0 and "missing" in said.out and "Apache-2.0" in said.out
    (first, _) = map(msgspec.json.decode, mia("models", "list", "--json").out.splitlines())
    assert first["name"] == "smollm2-135m" and not first["present"]


def test_an_index_is_built_and_searched(mia: Mia, home: Home) -> None:
    out = str(home.folder / "index")
    built = mia("index", "build", str(home.corpus), "--out", out)
    assert (built.code, built.out) == (0, f"{out}\n") and "indexed 11 passages" in built.err
    found = mia("search", "item 3", "--corpus", out, "-k", "1")
    assert found.code == 0 and "i3" in found.out
    (first,) = msgspec.json.decode(
        mia("search", "item 3", "--corpus", out, "-k", "1", "--json").out
    )
    assert first["id"] == "i3"
    nothing = mia("search", "xylophone", "--corpus", out)
    assert nothing.code == 7 and "nothing found" in nothing.err


def test_a_folder_of_notes_is_a_corpus(mia: Mia, home: Home) -> None:
    notes = home.folder / "notes"
    notes.mkdir()
    (notes / "the-attic.md").write_text("Item 3 stands in the attic.")
    assert "the-attic.md#1" in mia("search", "attic", "--corpus", str(notes)).out
    (notes / "the-attic.md").write_text("It was sold.")
    assert mia("search", "attic stands", "--corpus", str(notes), "--json").code == 0
    assert "was sold" in mia("search", "attic", "--corpus", str(notes)).out
