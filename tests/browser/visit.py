# SPDX-License-Identifier: MIT
"""What a person does with pages, and what comes of it that no page should do."""

from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

__all__ = ["PHONE", "Visit", "is_wider_than_the_screen", "smallest_font", "violations"]

#: Width and height in CSS pixels.
PHONE = (360, 780)
_DESK = (1280, 900)

# Of texts that are seen, in CSS pixels.
_SMALLEST_FONT = """
() => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let smallest = Infinity;
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        if (texts.currentNode.data.trim() && element.checkVisibility()) {
            smallest = Math.min(smallest, parseFloat(getComputedStyle(element).fontSize));
        }
    }
    return smallest;
}
"""


class Visit:
    """A visit to the service at *base_url*, with a *browser*."""

    def __init__(self, browser: Browser, base_url: str) -> None:
        self._browser = browser
        self._base_url = base_url
        self._contexts: list[BrowserContext] = []
        #: Errors and warnings of the console, exceptions of scripts, and requests to elsewhere.
        self.complaints: list[str] = []

    def open(
        self,
        path: str = "/",
        *,
        scheme: Literal["light", "dark"] = "light",
        size: tuple[int, int] = _DESK,
        scripts: bool = True,
    ) -> Page:
        """Open the page at *path* as a new visitor, in light or dark, with JavaScript or without."""
        context = self._browser.new_context(
            base_url=self._base_url,
            color_scheme=scheme,
            viewport={"width": size[0], "height": size[1]},
            java_script_enabled=scripts,
        )
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._note_message)
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        page.on("request", self._note_request)
        page.goto(path)
        return page

    def end(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            context.close()

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self._base_url}/", "data:", "blob:")):
            self.complaints.append(f"request to {request.url}")


def violations(page: Page) -> list[tuple[str, list[Any]]]:
    """Return the rules that axe-core finds broken on a *page*, each with the elements that break it."""
    found = Axe().run(page).response["violations"]
    return [
        (f"{each['id']} ({each['impact']})", [node["target"] for node in each["nodes"]]) for each in found
    ]


def is_wider_than_the_screen(page: Page) -> bool:
    """Say whether one must scroll sideways to read the *page*."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def smallest_font(page: Page) -> float:
    """Return the smallest size of the texts that can be seen on the *page*, in CSS pixels."""
    return float(page.evaluate(_SMALLEST_FONT))
