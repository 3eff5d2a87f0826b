"""Reads a page as a test sees it: its tags, its text, and what no page may have."""

import itertools
import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr", "path", "use", "rect", "image"}


class Page(HTMLParser):
    """Tags in order, the text, and whether every element is closed in its turn."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.faults, self.cells = [], [], [], []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.faults.append((tag, self.getpos()))

    def handle_data(self, data):
        self.text += data
        if self.open and {"td", "th"} & set(self.open):
            self.cells[-1] += data

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def faults_of_a_page(html: str) -> list[str]:
    """What is wrong with a page, whatever it shows: its build, requests, words for pictures."""
    page = Page(html)
    faults = [f"{tag} is closed in the wrong place" for tag, _ in page.faults]
    faults += [f"{tag} is not closed" for tag in page.open]
    for tag, attributes in page.tags:
        for key in ("src", "href", "xlink:href", "srcset", "action", "poster", "data"):
            value = attributes.get(key) or "#"
            if not value.startswith(("#", "data:image/png;base64,")):
                faults.append(f"{tag} asks for {value}")
    faults += [f"{found} is on the page" for found in re.findall(r"https?://|@import", html)]
    for found in re.findall(r"url\((.{0,22})", html):
        if not found.startswith(("#", "data:image/png;base64,")):
            faults.append(f"a style asks for {found}")
    faults += [f"there is a {tag}" for tag in ("script", "link") if page.all(tag)]
    policies = [one["content"] for one in page.all("meta") if "http-equiv" in one]
    if [one.partition(";")[0] for one in policies] != ["default-src 'none'"]:
        faults.append(f"the content policy is {policies}")
    faults += ["a picture has no words" for one in page.all("img") if not one.get("alt")]
    for one in page.all("svg"):
        if one.get("role") != "img" or not one.get("aria-label"):
            faults.append("a figure has no words")
    for one in page.all("div"):
        if one.get("class") == "box" and not (one.get("aria-label") and one.get("tabindex") == "0"):
            faults.append("a table cannot be reached by keyboard")
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    if levels[:1] != [1] or levels.count(1) != 1:
        faults.append("there is not one first heading")
    for before, after in itertools.pairwise(levels):
        if after > before + 1:
            faults.append(f"h{after} follows h{before}")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    faults += [f"id {one} stands twice" for one in {*ids} if ids.count(one) > 1]
    faults += [
        f"{one['href']} leads nowhere" for one in page.all("a") if one["href"][1:] not in ids
    ]
    return faults
