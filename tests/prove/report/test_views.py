"""Tables, Markdown, HTML, CSV and PNG: the same facts, safe wherever they are opened."""

from __future__ import annotations

import builtins
import csv
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image
from sample_report import (
    a_capacity,
    a_report,
    a_search_report,
    a_verdict,
    an_empty_report,
    some_measures,
    some_records,
)

from pilotage.errors import PilotageError, UsageError
from pilotage.prove.record import Record
from pilotage.prove.report import (
    cautions,
    headline,
    html_page,
    latency_table,
    markdown_page,
    read_report,
    repeat_text,
    sections,
    summary_table,
    write_all,
    write_png,
    write_requests_csv,
)
from pilotage.prove.report.html import embedded_json
from pilotage.prove.result import Estimate, Report


def table(report: Report, name: str):
    (found,) = [one for one in sections(report) if one.name == name]
    return found


def test_sections_are_those_that_have_something_to_show() -> None:
    assert [one.name for one in sections(a_search_report())] == [
        "slo",
        "latency",
        "summary",
        "capacity",
        "failures",
        "tokens",
        "plan",
        "costs",
        "server",
        "validity",
        "setup",
    ]
    assert [one.name for one in sections(an_empty_report())] == ["summary", "validity", "setup"]


def test_every_row_is_as_long_as_its_head() -> None:
    for one in sections(a_search_report()):
        assert {len(row) for row in one.rows} == {len(one.head) or 2}, one.name


def test_percentiles_come_with_their_intervals() -> None:
    first = latency_table(a_report()).plain()[0]

    assert first[0] == "Time to first token (TTFT)"
    assert first[5] == "372 ms (323–421 ms)"  # noqa: RUF001
    assert first[7] == "1,188 (12 failed)"


def test_a_percentile_that_failures_reach_is_no_number() -> None:
    measures = some_measures()
    assert measures.ttft is not None
    ttft = msgspec.structs.replace(measures.ttft, p99=Estimate(value=None, low=0.4, high=None))
    report = a_report(measures=msgspec.structs.replace(measures, ttft=ttft))

    assert latency_table(report).plain()[0][5] == "no answer (400 ms or more)"
    assert "no answer" in html_page(report)


@pytest.mark.parametrize(
    ("finding", "symbol", "tone"),
    [
        ("met", "✓", "good"),
        ("missed", "✗", "bad"),
        ("not_enough_evidence", "?", "unsure"),
        ("invalid", "⚠", "unsure"),
        ("no_slo", "•", ""),
    ],
)
def test_every_verdict_has_a_symbol_and_words(finding: str, symbol: str, tone: str) -> None:
    report = a_report(verdict=a_verdict(finding))

    assert (headline(report).symbol, headline(report).tone) == (symbol, tone)
    for page in (html_page(report), markdown_page(report)):
        assert symbol in page
        assert headline(report).title in page


def test_what_makes_a_run_invalid_stands_before_the_figures() -> None:
    report = a_report()
    validity = msgspec.structs.replace(
        report.validity, valid=False, reasons=("the senders were 40 ms late at p99; use more",)
    )
    client = msgspec.structs.replace(report.client, same_machine=True)
    report = a_report(validity=validity, client=client, interrupted="Ctrl-C")

    tones, texts = zip(*cautions(report), strict=True)
    assert texts[0] == "The senders were 40 ms late at p99; use more."
    assert tones == ("bad", "unsure", "unsure", "unsure")
    for page in (html_page(report), markdown_page(report)):
        assert 0 < page.index(texts[0]) < page.index("Time to first token")


def test_without_an_slo_there_is_no_goodput_to_show() -> None:
    measures = msgspec.structs.replace(some_measures(), goodput=None, good_share=None)
    report = a_report(measures=measures, verdict=a_verdict("no_slo"), slo={})

    assert "Goodput" not in {row[0] for row in summary_table(report).plain()}
    assert "Goodput" not in html_page(report)


def test_the_steps_of_a_search_ascend_and_say_why_they_broke() -> None:
    rows = table(a_search_report(), "capacity").plain()

    assert [row[0] for row in rows] == ["10/s", "20/s", "25/s", "27.5/s", "30/s", "40/s"]
    assert rows[0][-1] == "✓ holds"
    assert rows[-1][-1] == "✗ does not hold (over-saturated after 12 s)"


def test_a_step_that_is_not_proven_is_not_shown_as_broken() -> None:
    steps = a_capacity().steps
    unsure = msgspec.structs.replace(steps[3], verdict=a_verdict("not_enough_evidence"))
    search = msgspec.structs.replace(a_capacity(), steps=(unsure,))

    row = table(a_report(capacity=search), "capacity").plain()[0]

    assert row[-1] == "? does not hold (not enough evidence)"


def test_the_plan_stands_beside_reality() -> None:
    assert table(a_report(), "plan").plain()[:2] == (
        ("TTFT p99", "360 ms", "372 ms (331–412 ms)", "−3.20 %", "✓ inside"),  # noqa: RUF001
        (
            "output tokens a second",
            "1,420 tokens/s",
            "1,218 tokens/s (1,190–1,246 tokens/s)",  # noqa: RUF001
            "+16.6 %",
            "✗ outside",
        ),
    )


def test_it_says_how_to_repeat_it() -> None:
    command, sentence = repeat_text(a_report())

    assert command.startswith("pilotage prove receipts.yaml")
    assert "Seed 7" in sentence
    assert repeat_text(a_report(command=None))[0] == ""
    assert command in markdown_page(a_report())
    assert command in html_page(a_report())


@pytest.mark.parametrize("make", [a_report, a_search_report, an_empty_report])
def test_html_and_markdown_hold_the_same_figures(make) -> None:
    html, markdown = html_page(make()), markdown_page(make())

    for one in sections(make()):
        for row in one.rows:
            for cell in row:
                shown = cell.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
                assert shown.replace("'", "&#39;") in html
                assert cell.text in markdown.replace("\\", "").replace("&gt;", ">").replace(
                    "&lt;", "<"
                )


HOSTILE = '</script><script>alert(1)</script>"><img src=x onerror=alert(1)> | `@team` ``x`` *b*'


def hostile_report() -> Report:
    measures = some_measures()
    failure = msgspec.structs.replace(measures.failures[0], message=HOSTILE)
    report = a_report()
    return a_report(
        name=HOSTILE,
        target=msgspec.structs.replace(report.target, model=HOSTILE, url=HOSTILE, server=HOSTILE),
        measures=msgspec.structs.replace(measures, failures=(failure,)),
        command=f"pilotage prove '{HOSTILE}'\nrm -rf /",
    )


def test_html_holds_no_markup_of_others() -> None:
    page = html_page(hostile_report())

    assert page.count("<script") == 2
    assert page.count("</script") == 2
    assert "<img" not in page


def test_the_page_names_no_address_to_load_from() -> None:
    page = html_page(a_search_report())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)

    assert policy is not None
    assert policy[1].startswith("default-src &#39;none&#39;")
    assert not re.search(r"""(?:src|href|url|@import)\s*[=(]\s*["']?(?:https?:)?//""", page)


def test_markdown_holds_no_markup_of_others() -> None:
    page = markdown_page(hostile_report())

    outside_code = re.sub(r"(`+).*?\1", "", page)
    assert "<" not in "\n".join(
        line for line in outside_code.splitlines() if not line.startswith("    ")
    )
    assert not [line for line in page.splitlines() if line.startswith("rm -rf")]
    failures = next(line for line in page.splitlines() if line.startswith("| Rejected"))
    assert len(re.findall(r"(?<!\\)\|", failures)) == 6


@pytest.mark.parametrize("text", ["</script>", "<!--", "]]>", "a\u2028b", "&lt;"])
def test_data_in_the_page_is_no_markup_and_reads_back(text: str) -> None:
    data = embedded_json({"a": text})

    assert not set("<>&\u2028") & set(data)
    assert json.loads(data) == {"a": text}


def test_csv_has_a_row_a_request_with_derived_latencies(tmp_path: Path) -> None:
    records = some_records()
    path = write_requests_csv(records, tmp_path / "requests.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert len(rows) == len(records)
    assert "gaps" not in rows[0]
    assert "text" not in rows[0]
    for row, record in zip(rows, records, strict=True):
        assert int(row["index"]) == record.index
        assert float(row["e2e_s"]) == pytest.approx(record.e2e_s)
        assert float(row["send_delay_s"]) == pytest.approx(0.001)
        assert row["ttft_s"] == ("" if record.ttft_s is None else "0.15")
        assert row["error"] == (record.error or "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_csv_texts_are_no_formulas(tmp_path: Path, start: str) -> None:
    text = f'{start}HYPERLINK("http://evil";"x")'
    record = msgspec.structs.replace(some_records(1)[0], error=text, text=text)
    path = write_requests_csv([record], tmp_path / "requests.csv")
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)

    assert row["error"] == row["text"] == f"'{text}"


def test_csv_of_no_requests_is_a_head(tmp_path: Path) -> None:
    text = write_requests_csv([], tmp_path / "requests.csv").read_text()

    assert text.splitlines()[0].startswith("index,scheduled_s")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("name", ["receipts", "$x^$ costs $5", "<b>"])
def test_png_is_an_image(tmp_path: Path, name: str) -> None:
    path = write_png(a_report(name=name), tmp_path / "latency.png")

    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert image.size == (1350, 750)
        assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 100


def test_png_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no latency"):
        write_png(an_empty_report(), tmp_path / "latency.png")


def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_matplotlib(monkeypatch)

    with pytest.raises(PilotageError, match=r"pip install 'pilotage\[report\]'"):
        write_png(a_report(), tmp_path / "latency.png")


def test_write_all_writes_all(tmp_path: Path) -> None:
    notes: list[str] = []
    files = write_all(a_report(), some_records(), tmp_path / "out", note=notes.append)

    assert {kind: path.name for kind, path in files.items()} == {
        "json": "report.json",
        "csv": "requests.csv",
        "markdown": "report.md",
        "html": "report.html",
        "png": "latency.png",
    }
    assert notes == []
    assert read_report(files["json"]) == a_report()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for path in files.values()
    )


def test_write_all_goes_on_without_a_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_matplotlib(monkeypatch)
    notes: list[str] = []
    records: list[Record] = []
    files = write_all(a_report(), records, tmp_path, note=notes.append)

    assert set(files) == {"json", "csv", "markdown", "html"}
    assert len(notes) == 1
    assert "pilotage[report]" in notes[0]
