"""A real browser: Debian's Chromium by Playwright, and axe in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worker.console.visit import SESSION

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
WIDE, NARROW, HEIGHT = 1280, 360, 800
SCREENS = [(width, scheme) for width in (WIDE, NARROW) for scheme in ("light", "dark")]
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
    """A person's browser with one page. What the page logs as an error, or what the policy keeps it
    from, ends the test in `close`.
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
        self._context.set_default_timeout(30_000)
        if session:
            self._context.add_cookies([{"name": SESSION, "value": session, "url": address}])
        self.page = self._context.new_page()
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

    def close(self) -> None:
        self._context.close()
        assert self.complaints == []


def look(browser: Browser, name: str) -> None:
    """Look at the page, as it is, on every screen: axe finds nothing, and nobody has to scroll
    sideways. A picture of each goes to where FULFILLMENT_SCREENSHOTS says.
    """
    page, wrong = browser.page, []
    page.evaluate(AXE.read_text())  # by the debugger: the page's own policy lets no script in
    for width, scheme in SCREENS:
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
