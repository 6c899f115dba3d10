"""The machine's own apt sources, read to learn where its Debian archive is."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

APT_ETC = Path("/etc/apt")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Third parties also publish suites with a "main"; only Debian's have these names.
_DEBIAN_SUITE = re.compile(
    r"(oldoldstable|oldstable|stable|testing|unstable|sid|bullseye|bookworm|trixie|forky|duke)"
    r"(-updates|-backports|-proposed-updates)?"
)
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")


@dataclass(frozen=True)
class Source:
    """One archive: its address, a suite and the key it is signed by, if the source says so."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str | None = None


def machine_sources(etc: Path = APT_ETC) -> list[Source]:
    """Every binary source of the machine, of both file formats."""
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    found: list[Source] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # missing, or not for us to read
        if file.suffix == ".sources":
            found += _parse_deb822(text)
        elif file.suffix == ".list":
            found += _parse_one_line(text)
    return found


def debian_archive(etc: Path = APT_ETC) -> Source | None:
    """The machine's source for Debian itself, or None on another distribution."""
    for source in machine_sources(etc):
        reachable = "main" in source.components and not source.uri.startswith("cdrom:")
        if reachable and _DEBIAN_SUITE.fullmatch(source.suite):
            return source
    return None


def _parse_one_line(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if match is not None:
            key = re.search(r"signed-by=(\S+)", match["options"] or "")
            components = tuple(match["components"].split())
            yield Source(match["uri"], match["suite"], components, _key_file(key[1] if key else None))


def _parse_deb822(text: str) -> Iterator[Source]:
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", text):
        fields = _fields(paragraph)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").strip() == "no":
            continue
        components = tuple(fields.get("components", "").split())
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri, suite, components, _key_file(fields.get("signed-by")))


def _fields(paragraph: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in paragraph.splitlines():
        if line[:1].isspace() and name:
            fields[name] += " " + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _key_file(signed_by: str | None) -> str | None:
    """A key given as a file; one given inline or by fingerprint is left to the default keyring."""
    return signed_by if signed_by is not None and signed_by.startswith("/") and Path(signed_by).exists() else None
