"""A page in a real browser: headless Chromium without a network, in the light or in the dark, as wide as is asked."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.support.wait import WebDriverWait

Scheme = Literal["light", "dark"]
PATIENCE_S = 60.0


def missing() -> str | None:
    """Why there is no browser, and what to do; None if there is one."""
    if shutil.which("chromium") and shutil.which("chromedriver"):
        return None
    return "no Chromium is installed; on Debian: apt-get install chromium chromium-driver"


@dataclass(frozen=True)
class Browser:
    """A browser with one window."""

    driver: Chrome

    def open(self, page: Path, width: int, height: int, scheme: Scheme) -> None:
        """Shows a report, and waits until its charts are drawn. What was logged before is forgotten."""
        self.prefers(scheme)
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.console(), self.requests()
        self.driver.get(page.as_uri())
        self.await_drawn(scheme)

    def prefers(self, scheme: Scheme) -> None:
        """Lets its user like light or dark pages."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def await_drawn(self, scheme: Scheme) -> None:
        """Waits until the charts are drawn for the light or the dark."""
        drawn = "return document.documentElement.dataset.drawn"
        WebDriverWait(self.driver, PATIENCE_S).until(lambda driver: driver.execute_script(drawn) == scheme)

    def ask(self, script: str) -> Any:
        """What a script in the page returns."""
        return self.driver.execute_script(script)

    def console(self) -> list[str]:
        """What the page has said on its console, warnings and errors, since it was asked last."""
        return [f"{entry['level']}: {entry['message']}" for entry in self._log("browser")]

    def requests(self) -> list[str]:
        """The addresses that the page has asked for since they were asked for last."""
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]

    def picture(self, path: Path) -> None:
        """Keeps a picture (PNG) of the whole page."""
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(shot["data"]))

    def _log(self, name: str) -> Any:
        return self.driver.get_log(name)  # type: ignore[no-untyped-call]


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser that keeps what it keeps in `folder`, and reaches no network."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for word in (
        "--headless=new",
        "--no-sandbox",  # where tests run as root there is none
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder}",
    ):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options, ChromeService(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
