"""The small web beside the stand-ins: what results lead to, and what fetchers must survive."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator

import httpx2
import pytest

from mia.testing import ProviderStandIns
from mia.testing.web_files import pdf, picture, png


@pytest.fixture(scope="module")
def web() -> Iterator[ProviderStandIns]:
    with ProviderStandIns() as running:
        yield running


@pytest.fixture
def http(web: ProviderStandIns) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=web.url, trust_env=False, timeout=5) as client:
        yield client


def test_a_result_can_be_opened_as_page_text_or_document(
    web: ProviderStandIns, http: httpx2.Client
) -> None:
    doc = web.app.corpus.docs[3]
    page = http.get("/page/3")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert f"<h1>{doc.passage.title}</h1>" in page.text
    text = http.get("/page/3.txt").text
    assert text == f"{doc.passage.title}\n\n{doc.passage.text}"
    document = http.get("/page/3.pdf")
    assert document.headers["content-type"] == "application/pdf"
    assert document.content.startswith(b"%PDF-1.4")
    assert http.get("/page/999999").status_code == http.get("/page/x").status_code == 404


def test_documents_can_be_read_by_those_who_read_pdf() -> None:
    pypdf = pytest.importorskip("pypdf")
    read = pypdf.PdfReader(io.BytesIO(pdf("A (title)", "Words \\ of (a) café. " * 20)))
    assert read.metadata.title == "A (title)"
    text = read.pages[0].extract_text()
    assert text.startswith("A (title)") and "Words \\ of (a) café." in text


def test_pictures_are_pictures_and_differ(http: httpx2.Client) -> None:
    pillow = pytest.importorskip("PIL.Image")
    response = http.get("/picture/7.png")
    assert response.headers["content-type"] == "image/png" and response.content == picture(7)
    with pillow.open(io.BytesIO(response.content)) as image:
        image.load()
        assert (image.size, image.mode) == ((256, 256), "RGB")
    assert len({picture(number) for number in range(50)}) == 50
    assert http.get("/picture/x.png").status_code == 404


def test_redirects_lead_where_they_say(web: ProviderStandIns, http: httpx2.Client) -> None:
    assert http.get("/redirect/3", follow_redirects=True).url.path == "/page/0"
    assert len(http.get("/redirect/3", follow_redirects=True).history) == 3
    with pytest.raises(httpx2.TooManyRedirects):
        http.get("/redirect/loop", follow_redirects=True)
    to = http.get("/redirect", params={"to": "http://10.0.0.1/"}).headers["location"]
    assert to == "http://10.0.0.1/"
    assert web.contacts == 0
    http.get("/redirect/internal", follow_redirects=True)
    assert web.contacts == 1


def test_statuses_encodings_and_disguises(http: httpx2.Client) -> None:
    assert [http.get(f"/status/{code}").status_code for code in (404, 410, 503)] == [404, 410, 503]
    page = http.get("/charset/shift_jis")
    assert page.headers["content-type"].endswith("shift_jis")
    assert "日本語のページ" in page.content.decode("shift_jis")
    assert http.get("/charset/klingon").status_code == 404
    disguised = http.get("/disguised.pdf.html")
    assert disguised.headers["content-type"].startswith("text/html")
    assert disguised.content.startswith(b"%PDF")
    orders = {http.get(f"/injected/{number}").text for number in range(20)}
    assert len(orders) == 20 and sum("display:none" in order for order in orders) == 10
    for nowhere in ("/", "/other", "/bomb/none", "/redirect/x", "/status/999"):
        assert http.get(nowhere).status_code == 404


def received(http: httpx2.Client, path: str, most: int) -> bytes:
    body = bytearray()
    with http.stream("GET", path) as response:
        for piece in response.iter_raw():
            body += piece
            if len(body) > most:
                break
    return bytes(body)


def test_bombs_are_small_on_their_way_and_large_in_the_end(http: httpx2.Client) -> None:
    packed = received(http, "/bomb/gzip", 10**7)
    assert len(packed) < 400_000
    unpacking, size = zlib.decompressobj(31), 0
    while not unpacking.eof:
        size += len(unpacking.decompress(packed, 2**20))
        packed = unpacking.unconsumed_tail
    assert size == 300 * 2**20
    assert len(received(http, "/bomb/png", 10**7)) < 30_000
    assert len(received(http, "/bomb/pdf", 10**7)) < 250_000
    assert received(http, "/bomb/html", 10**7).count(b"<p>") == 1_000_000
    assert received(http, "/bomb/deep", 10**7).count(b"<div>") == 100_000
    assert len(received(http, "/bomb/endless", 50_000)) > 50_000
    assert sum(len(v) for v in http.get("/bomb/headers").headers.values()) > 40_000


def test_a_picture_of_any_size_is_made_by_hand() -> None:
    rows = b"\0\xff" * 8
    made = png(8, 8, 1, 0, zlib.compress(rows))
    pillow = pytest.importorskip("PIL.Image")
    with pillow.open(io.BytesIO(made)) as image:
        assert image.convert("L").getpixel((0, 0)) == 255
