"""A real headless Chromium for tests of pages, and what it complained of."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)


@dataclass
class Browser:
    """A browser with one page in it."""

    driver: Chrome

    def open(self, page: Path) -> None:
        """Open a report from its file and wait until its charts are drawn."""
        self.driver.get(page.resolve().as_uri())
        WebDriverWait(self.driver, 30).until(
            lambda driver: driver.execute_script("return document.documentElement.dataset.ready")
        )

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def colour_scheme(self, scheme: str) -> None:
        """Prefer "light" or "dark"."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def width(self, pixels: int, height: int = 1200) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": pixels, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def picture(self, path: Path) -> Path:
        """The whole page as PNG."""
        tall = self.driver.execute_script("return document.documentElement.scrollHeight")
        wide = self.driver.execute_script("return document.documentElement.clientWidth")
        self.width(wide, tall)
        self.driver.save_screenshot(str(path))
        self.width(wide)
        return path

    def complaints(self) -> list[str]:
        """What the console has shown since the last look."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last look; pages from files are among them."""
        events = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
            # The browser's own start page, which it may still be loading with all it is made of.
            and not event["params"]["documentURL"].startswith("chrome")
        ]


@contextlib.contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A fresh Chromium with its profile in ``folder``; skips where there is none."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs Chromium and chromedriver on the PATH")
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    try:
        browser = Browser(chrome)
        browser.width(1280)
        yield browser
    finally:
        chrome.quit()
