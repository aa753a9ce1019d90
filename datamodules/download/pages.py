"""Web pages that a server sends instead of a file: a form to confirm a large download, or an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

TITLE_LENGTH = 120


@dataclass
class _Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """Parses a page (HTML) for its title, forms and links, which are relative to its URL."""

    def __init__(self, text: str, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.url, self.title, self._in_title = url, "", False
        self._forms: list[_Form] = []
        self._links: list[str] = []
        self.feed(text)

    def confirmed(self) -> str | None:
        """URL of the file after confirming "download anyway?"; None if the page does not ask.

        The form, or the link in older pages, is recognised by its parameter `confirm`.
        """
        for form in self._forms:
            if "confirm" in form.fields:
                action = urljoin(self.url, form.action)
                return f"{action}{'&' if urlsplit(action).query else '?'}{urlencode(form.fields)}"
        links = (urljoin(self.url, link) for link in self._links)
        return next((link for link in links if "confirm" in parse_qs(urlsplit(link).query)), None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self._in_title = tag == "title"
        if tag == "form":
            self._forms.append(_Form(given.get("action", "")))
        elif tag == "input" and self._forms and given.get("name"):
            self._forms[-1].fields[given["name"]] = given.get("value", "")
        elif tag == "a" and given.get("href"):
            self._links.append(given["href"])

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title = " ".join((self.title + data).split())[:TITLE_LENGTH]
