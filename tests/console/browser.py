"""A real browser: Debian's Chromium by Playwright, and axe in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worker.console.visit import SESSION

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
WIDE, NARROW, HEIGHT = 1280, 360, 800
SCREENS = [(WIDE, "light"), (NARROW, "dark"), (WIDE, "dark"), (NARROW, "light")]
"""Of two neighbours each width is one, and each scheme."""
PICTURES = os.environ.get("FULFILLMENT_SCREENSHOTS")


@contextmanager
def chromium(path: Path) -> Iterator[Any]:
    """The browser, without a window."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # slow, and only these tests need it

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=path,
            # As root there is no sandbox; only our own pages are opened.
            args=["--no-sandbox", "--disable-gpu"],
        )
        yield launched
        launched.close()


class Browser:
    """A person's browser with one page, and what the person does with mouse and keys. What the page
    logs as an error, or what the policy keeps it from, ends the test in `close`.
    """

    def __init__(
        self,
        launched: Any,
        address: str,
        session: str | None,
        **options: Any,
    ) -> None:
        self._context = launched.new_context(
            base_url=address,
            viewport={"width": WIDE, "height": HEIGHT},
            **{"locale": "en", "timezone_id": "UTC"} | options,
        )
        self._context.set_default_timeout(60_000)
        if session:
            self._context.add_cookies([{"name": SESSION, "value": session, "url": address}])
        self.page = self._context.new_page()
        self.looks = 0
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda message: message.type == "error" and self.complaints.append(message.text),
        )

    def goto(self, path: str) -> Any:
        """Open a page."""
        self.page.goto(path)
        return self.page

    def click(self, name: str, role: str = "button") -> None:
        """Press what has exactly this name; of several the first."""
        self.page.get_by_role(role, name=name, exact=True).first.click()

    def type(self, label: str, text: str) -> None:
        """Replace what is in a field by what is typed into it."""
        self.page.get_by_label(label, exact=True).click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.type(text)

    def choose(self, label: str, text: str) -> None:
        """Choose in a drop-down by typing what an option begins with."""
        self.page.locator(f"label:text-is({label!r})").click()
        self.page.keyboard.type(text)

    def reads(self, text: str, within: str = "main") -> None:
        """The text is there, or comes."""
        self.page.locator(within).get_by_text(text).first.wait_for()

    def save(self, within: Any, name: str) -> bytes:
        """Save the file that a link leads to, by Alt and the mouse: without Alt Chromium would
        begin a program of its own to show it.
        """
        with self.page.expect_download() as begun:
            within.get_by_role("link", name=name, exact=True).click(modifiers=["Alt"])
        return Path(begun.value.path()).read_bytes()

    def close(self) -> None:
        self._context.close()
        assert self.complaints == []


def look(browser: Browser, name: str) -> None:
    """Look at the page as it is: axe finds nothing, and nobody has to scroll sideways. In both
    widths and both schemes; the next page in the other two of their combinations, so that each
    style is seen in all four. Pictures of all four go to where FULFILLMENT_SCREENSHOTS says.
    """
    page, wrong = browser.page, []
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE.read_text())  # by the debugger: the page's own policy lets no script in
    first = 2 * (browser.looks % 2)
    browser.looks += 1
    for width, scheme in SCREENS if PICTURES else SCREENS[first : first + 2]:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.emulate_media(color_scheme=scheme)
        if PICTURES:
            picture = Path(PICTURES) / f"{name}-{width}-{scheme}.png"
            page.screenshot(path=picture, full_page=True)
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        wrong += [
            (width, scheme, one["id"], " ".join(map(str, node["target"])))
            for one in found
            for node in one["nodes"]
        ]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wrong.append((width, scheme, "too wide", ""))
    page.set_viewport_size({"width": WIDE, "height": HEIGHT})
    page.emulate_media(color_scheme="light")
    assert wrong == [], (name, wrong)
