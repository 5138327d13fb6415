"""What was built is whole: each link inside it leads somewhere, and no page needs a network.

Each fault is a warning at the end of the build, which ``sphinx -W`` makes an error. Links to other sites are not
followed.
"""

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.util import logging

logger = logging.getLogger(__name__)

# Attributes whose target a browser fetches by itself.
FETCHED = ("src", "srcset", "poster", "data")


class Page(HTMLParser):
    """What a page names, what it links to, and what it loads."""

    def __init__(self, text):
        super().__init__()
        self.names, self.links, self.loads = set(), [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = {name: value for name, value in attrs if value}
        self.names |= {attrs[name] for name in (("id", "name") if tag == "a" else ("id",)) if name in attrs}
        if "href" in attrs:
            (self.loads if tag in ("link", "image", "use") else self.links).append(attrs["href"])
        for name in FETCHED:
            # A picture in several sizes: "a.png, b.png 2x".
            targets = re.split(r",\s+", attrs.get(name, "")) if name == "srcset" else [attrs.get(name, "")]
            self.loads += [target.split()[0] for target in targets if target.strip()]


def faults(folder):
    """Links that lead nowhere and what would be fetched from elsewhere, as pairs of a file and what is wrong."""
    files = {path for path in folder.rglob("*") if path.is_file()}
    made = sorted(path for path in files if path.suffix == ".html" and "_static" not in path.relative_to(folder).parts)
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in made}
    for path, page in pages.items():
        for target in sorted({*page.links, *page.loads}):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                if target in page.loads and parts.scheme != "data":
                    yield path, f"{target!r} is loaded from elsewhere"
                continue
            file = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            if file not in files:
                yield path, f"there is no file for {target!r}"
            elif parts.fragment and file in pages and unquote(parts.fragment) not in pages[file].names:
                yield path, f"there is no place for {target!r}"
    for path in sorted(path for path in files if path.suffix == ".css"):
        for target in re.findall(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""", path.read_text("utf-8")):
            yield path, f"{target!r} is loaded from elsewhere"


def _report(app, exception):
    if exception is None and app.builder.format == "html":
        folder = Path(app.outdir)
        for path, fault in faults(folder):
            logger.warning("%s: %s", path.relative_to(folder).as_posix(), fault)


def setup(app):
    app.connect("build-finished", _report)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
