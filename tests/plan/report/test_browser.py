"""The page in a real browser: drawn, pointed at, read by keys, in any scheme and width."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from chromium import Browser
from samples import impossible, portfolio, receipts
from selenium.webdriver import ActionChains, Keys

from pilotage.plan.report import html_page, portfolio_html
from pilotage.plan.result import ParetoPoint, Plan

HOSTILE = '</script><script>window.hacked=1</script>"><img src=x onerror=window.hacked=1>'
CHARTS = [
    "pareto",
    "cdf-ttft",
    "cdf-tpot",
    "cdf-e2e",
    "memory",
    "load-cost",
    "load-latency",
    "length-cost",
    "length-latency",
]


def opened(browser: Browser, folder: Path, page: str) -> Path:
    """Write a page and open it; what was complained of before is forgotten."""
    path = folder / "plan.html"
    path.write_text(page, encoding="utf-8")
    browser.colour_scheme("light")
    browser.width(1280)
    browser.complaints(), browser.requests()
    browser.open(path)
    return path


def tip(browser: Browser, chart: str) -> list[str]:
    return browser.one(f'[data-chart="{chart}"] .tip').text.split("\n")


def test_it_asks_the_network_for_nothing_and_complains_of_nothing(
    browser: Browser, tmp_path: Path
) -> None:
    path = opened(browser, tmp_path, html_page(receipts()))

    # The browser's own start page may still be loading; the plan loads itself and nothing else.
    asked = [url for url in browser.requests() if url.startswith(("http", "file", "ws"))]
    assert asked == [path.as_uri()]
    assert browser.complaints() == []
    assert browser.one("h1").text == "receipts"
    assert "g6e.xlarge" in browser.one(".verdict h2").text
    assert [one.get_attribute("data-chart") for one in browser.all(".chart")] == CHARTS


@pytest.mark.parametrize("make", [receipts, impossible], ids=lambda make: make.__name__)
@pytest.mark.parametrize("pixels", [390, 1280])
def test_it_fits_its_window(browser: Browser, tmp_path: Path, make: object, pixels: int) -> None:
    assert callable(make)
    opened(browser, tmp_path, html_page(make()))
    browser.width(pixels)
    wide, has = browser.driver.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert wide <= has


def test_pointing_at_an_option_tells_what_it_is(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, html_page(receipts()))
    dot = browser.one('[data-chart="pareto"] .chosen .dot')
    ActionChains(browser.driver).scroll_to_element(dot).move_to_element(dot).perform()

    assert tip(browser, "pareto") == [
        "4 x g6e.xlarge",
        "ECS on EC2 GPU",
        "$5,488 a month",
        "p99 1.76 s",
        "the plan",
    ]
    away = browser.one("h1")
    ActionChains(browser.driver).move_to_element(away).perform()
    assert not browser.one('[data-chart="pareto"] .tip').is_displayed()


def test_pointing_at_memory_tells_the_term_and_its_formula(
    browser: Browser, tmp_path: Path
) -> None:
    opened(browser, tmp_path, html_page(receipts()))
    stretch = browser.one('[data-chart="memory"] .stretch')
    ActionChains(browser.driver).scroll_to_element(stretch).move_to_element(stretch).perform()

    assert tip(browser, "memory") == [
        "weights",
        "6.9 GiB, 15%",
        "9.78e9 x 4.16 bit / 8 + 0.86e9 x 2 B",
    ]


def test_arrow_keys_walk_a_distribution_and_escape_leaves_it(
    browser: Browser, tmp_path: Path
) -> None:
    opened(browser, tmp_path, html_page(receipts()))
    chart = browser.one('[data-chart="cdf-ttft"] svg')
    chart.send_keys(Keys.ARROW_LEFT)
    last = tip(browser, "cdf-ttft")
    chart.send_keys(Keys.ARROW_LEFT)
    before = tip(browser, "cdf-ttft")

    assert last[0].startswith("within ") and last[1].startswith("99.")
    assert before != last
    chart.send_keys(Keys.ESCAPE)
    assert not browser.one('[data-chart="cdf-ttft"] .tip').is_displayed()


def test_dark_and_light_differ_and_print_is_white(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, html_page(receipts()))
    colour = "return getComputedStyle(document.body).backgroundColor"
    light = browser.driver.execute_script(colour)
    browser.colour_scheme("dark")
    dark = browser.driver.execute_script(colour)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    printed = browser.driver.execute_script(colour)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})

    assert light != dark
    assert printed == "rgb(255, 255, 255)"


def hostile() -> Plan:
    """Every text that comes from outside is an attack."""
    plan = receipts()
    point = ParetoPoint(
        label=HOSTILE, strategy="ecs-gpu", usd_per_month=9.0, e2e_p99_s=1.0, feasible=True
    )
    return replace(
        plan,
        name=HOSTILE,
        region=HOSTILE,
        model=replace(plan.model, name=HOSTILE),
        pareto=(point, *plan.pareto),
        notes=tuple(replace(note, text=HOSTILE, source=HOSTILE) for note in plan.notes),
        infeasible=tuple(
            replace(
                option,
                obstacles=tuple(
                    replace(one, message=HOSTILE, relax=HOSTILE) for one in option.obstacles
                ),
            )
            for option in plan.infeasible
        ),
    )


def test_hostile_text_stays_text(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, html_page(hostile()))

    assert browser.driver.execute_script("return window.hacked") is None
    assert browser.one("h1").text == HOSTILE
    assert browser.all("img") == []
    assert browser.complaints() == []


def test_a_portfolio_unfolds(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, portfolio_html(portfolio()))

    rows = browser.all('[data-table="portfolio"] tbody tr')
    assert [row.find_element("tag name", "th").text for row in rows] == [
        "receipts",
        "finance",
        "receipts-on-a-t4",
    ]
    chart = browser.one('details [data-chart="pareto"]')
    assert not chart.is_displayed()
    browser.one("summary").click()
    assert chart.is_displayed()
    assert browser.complaints() == []
