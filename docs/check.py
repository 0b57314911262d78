#!/usr/bin/env python3
"""What ci/docs checks of the book that mdBook does not.

check.py links FOLDER          every link of the pages that were built leads to a file there, and to a place in it
check.py yaml FOLDER TO        writes each block of YAML in the pages of FOLDER to a file of TO, by what it is for
"""
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of a page, and the places in it that links may lead to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.places.update(value for key, value in attributes.items() if key in ("id", "name") and value)
        self.links += [value for key, value in attributes.items() if key in ("href", "src") and value]


def links(folder):
    # The page for what is not found stands wherever the server puts it.
    pages = {path: Page(path) for path in folder.rglob("*.html") if path.name != "404.html"}
    count, wrong = 0, []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            count += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            at = f"{path.relative_to(folder)}: {link}"
            if not target.is_relative_to(folder.resolve()) or not target.is_file():
                wrong.append(f"{at}: there is no such file")
            elif parts.fragment and target.suffix == ".html":
                there = next((it for other, it in pages.items() if other.resolve() == target), None)
                if there and unquote(parts.fragment) not in there.places:
                    wrong.append(f"{at}: there is no such place")
    if count < 100:
        wrong.append(f"only {count} links in {len(pages)} pages: are they read?")
    return wrong


def yaml(folder, to):
    kinds = {"workflow": 0, "gitlab": 0}
    wrong = []
    for path in sorted(folder.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            kind = "workflow" if re.search(r"^jobs:", block, re.MULTILINE) else "gitlab"
            kinds[kind] += 1
            (to / f"{path.stem}-{kinds[kind]}.{kind}.yml").write_text(block, encoding="utf-8")
    wrong += [f"no YAML for {kind}: is it read?" for kind, count in kinds.items() if count == 0]
    return wrong


def main():
    match sys.argv[1:]:
        case ["links", folder]:
            wrong = links(Path(folder))
        case ["yaml", folder, to]:
            wrong = yaml(Path(folder), Path(to))
        case _:
            sys.exit(__doc__)
    if wrong:
        sys.exit("docs/check.py: " + "\n  ".join(["not as it should be:", *wrong]))


main()
