"""The page in a real browser: drawn, clicked through, read, in any scheme and width."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from chromium import Browser
from sample_report import a_report, a_search_report, an_empty_report, some_measures
from selenium.webdriver import ActionChains, Keys

from pilotage.prove.report import comparison_html, html_page
from pilotage.prove.report.files import write_file

HOSTILE = '</script><script>window.hacked=1</script>"><img src=x onerror=window.hacked=1>'
DISTRIBUTION = '[data-panel="distribution"]'


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return write_file(tmp_path / "report.html", html_page(a_search_report()))


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    browser.colour_scheme("light")
    browser.width(1280)
    browser.complaints(), browser.requests()
    browser.open(page)
    return browser


def test_it_asks_the_network_for_nothing_and_complains_of_nothing(
    opened: Browser, page: Path
) -> None:
    assert opened.requests() == [page.as_uri()]
    assert opened.complaints() == []
    assert opened.one("h1").text == "receipts"
    assert opened.one(".verdict h2").text == "The SLO is met"
    assert opened.one(".verdict .badge").text == "✓"


def test_every_tab_draws_its_chart(opened: Browser) -> None:
    seen: dict[str, set[str]] = {}
    for panel in ("distribution", "capacity", "time"):
        shapes = seen.setdefault(panel, set())
        tabs = opened.all(f'[data-panel="{panel}"] [role=tab]')
        for tab in tabs:
            if tab.is_displayed():
                tab.click()
            assert tab.get_attribute("aria-selected") == "true"
            drawn = opened.all(f'[data-panel="{panel}"] path.line')
            assert drawn
            shapes.add("".join(str(path.get_attribute("d")) for path in drawn))
        assert len(shapes) == len(tabs)

    assert {panel: len(shapes) for panel, shapes in seen.items()} == {
        "distribution": 4,
        "capacity": 3,
        "time": 1,
    }
    assert opened.complaints() == []


def test_tabs_obey_the_arrow_keys(opened: Browser) -> None:
    first, *_, last = opened.all(f"{DISTRIBUTION} [role=tab]")
    first.click()
    first.send_keys(Keys.ARROW_LEFT)

    assert last.get_attribute("aria-selected") == "true"
    assert opened.driver.switch_to.active_element == last
    assert [first.get_attribute("tabindex"), last.get_attribute("tabindex")] == ["-1", "0"]


def test_a_legend_entry_hides_its_line_and_brings_it_back(opened: Browser) -> None:
    lines = '[data-panel="capacity"] path.line'
    entry = opened.one('[data-panel="capacity"] .legend button.s8')
    assert len(opened.all(lines)) == 2

    entry.click()
    assert entry.get_attribute("aria-pressed") == "false"
    assert [path.get_attribute("class") for path in opened.all(lines)] == ["line s1"]

    entry.click()
    assert entry.get_attribute("aria-pressed") == "true"
    assert len(opened.all(lines)) == 2


def test_the_axes_switch_their_scales(opened: Browser) -> None:
    def ticks() -> list[str]:
        return [text.text for text in opened.all(f"{DISTRIBUTION} svg text")]

    assert "0 ms" in ticks()
    opened.one(f'{DISTRIBUTION} [data-scale="x-log"]').click()
    assert "0 ms" not in ticks()
    assert "100 ms" in ticks()

    assert "99 %" not in ticks()
    opened.one(f'{DISTRIBUTION} [data-scale="y-tail"]').click()
    assert "99 %" in ticks()
    assert opened.complaints() == []


def test_the_pointer_reads_values(opened: Browser) -> None:
    chart = opened.one(f"{DISTRIBUTION} svg")
    tip = opened.one(f"{DISTRIBUTION} .tip")
    assert not tip.is_displayed()

    ActionChains(opened.driver).move_to_element(chart).perform()
    assert tip.is_displayed()
    within, series, share = tip.text.splitlines()
    assert within.startswith("within ")
    assert within.endswith(" ms")
    assert series == "receipts"
    assert 90 < float(share.removesuffix(" %")) <= 100

    ActionChains(opened.driver).move_to_element(opened.one("h1")).perform()
    assert not tip.is_displayed()


def test_the_keyboard_reads_values_and_charts_of_a_stack_share_the_cursor(
    opened: Browser,
) -> None:
    time = '[data-panel="time"]'
    first = opened.one(f"{time} svg")
    opened.driver.execute_script("arguments[0].focus()", first)
    first.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)

    assert opened.one(f"{time} .tip").text.splitlines()[0] == "at 1.50 s"
    assert len(opened.all(f"{time} line.cursor")) == len(opened.all(f"{time} svg"))
    first.send_keys(Keys.ESCAPE)
    assert not opened.all(f"{time} line.cursor")


def test_warm_up_is_shaded_and_named(opened: Browser) -> None:
    assert len(opened.all('[data-panel="time"] rect.shade')) == len(
        opened.all('[data-panel="time"] svg')
    )
    assert "warm-up" in [text.text for text in opened.all('[data-panel="time"] svg text')]


def test_it_is_dark_where_dark_is_preferred(opened: Browser, tmp_path: Path) -> None:
    def brightness() -> float:
        return float(
            opened.driver.execute_script(
                "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g)"
                ".map(Number).reduce((a, b) => a + b) / 765"
            )
        )

    assert brightness() > 0.9
    opened.colour_scheme("dark")
    assert brightness() < 0.15
    assert opened.picture(tmp_path / "dark.png").stat().st_size > 50_000


@pytest.mark.parametrize("pixels", [400, 800, 1600])
def test_nothing_sticks_out_of_a_narrow_or_wide_window(opened: Browser, pixels: int) -> None:
    opened.width(pixels)
    opened.driver.refresh()

    wide = opened.driver.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert wide[0] <= wide[1] == pixels


@pytest.mark.parametrize("make", [a_report, an_empty_report])
def test_a_hostile_server_runs_nothing(browser: Browser, tmp_path: Path, make) -> None:
    measures = some_measures()
    failure = msgspec.structs.replace(measures.failures[0], message=HOSTILE)
    report = make()
    report = msgspec.structs.replace(
        report,
        name=HOSTILE,
        target=msgspec.structs.replace(report.target, model=HOSTILE, server=HOSTILE),
        workload=msgspec.structs.replace(report.workload, arrivals=HOSTILE),
        command=HOSTILE,
        measures=msgspec.structs.replace(measures, failures=(failure,)),
    )
    pages = {"report": html_page(report), "comparison": comparison_html([report, report])}
    for name, page in pages.items():
        browser.complaints(), browser.requests()
        path = write_file(tmp_path / f"{name}.html", page)
        browser.open(path)
        assert browser.driver.execute_script("return window.hacked") is None
        assert browser.requests() == [path.as_uri()]
        assert browser.complaints() == []
        assert HOSTILE in browser.one("h1").text
        assert not browser.all("img")


def test_an_empty_report_is_a_page_too(browser: Browser, tmp_path: Path) -> None:
    browser.complaints()
    browser.open(write_file(tmp_path / "empty.html", html_page(an_empty_report())))

    assert browser.one(".verdict h2").text == "Not enough evidence"
    assert "Ctrl-C" in browser.one(".cautions").text
    assert browser.complaints() == []


def test_targets_are_drawn_over_one_another(browser: Browser, tmp_path: Path) -> None:
    reports = [a_report(name="a"), a_report(name="b", measures=some_measures(slow=2))]
    browser.complaints()
    browser.open(write_file(tmp_path / "comparison.html", comparison_html(reports)))

    entries = [entry.text for entry in browser.all(f"{DISTRIBUTION} .legend button")]
    assert entries == ["a", "b"]
    assert len(browser.all(f"{DISTRIBUTION} path.line")) == 2
    assert browser.complaints() == []


def test_without_scripts_the_tables_are_there(browser: Browser, page: Path) -> None:
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.driver.get(page.as_uri())
        assert browser.one('[data-table="latency"]').is_displayed()
        assert "need JavaScript" in browser.one(f"{DISTRIBUTION} noscript").text
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
