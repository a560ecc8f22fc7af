"""The work of the demo's first part: what a copyright file says, and how it is written."""

import re
import zlib
from collections import Counter
from pathlib import Path

import snakepit

LICENCES = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "AGPL": r"\bAGPL|Affero General Public",
        "Apache": r"\bApache(?:-| License,? Version )2",
        "Artistic": r"\bArtistic\b",
        "BSD": r"\bBSD\b|Redistribution and use in source and binary forms",
        "CC": r"\bCC0|\bCC-BY|Creative Commons",
        "GFDL": r"\bGFDL|Free Documentation License",
        "GPL": r"(?<![AL])GPL|(?<!Lesser |Affero )(?<!Library )General Public License",
        "ISC": r"\bISC\b",
        "LGPL": r"\bLGPL|(?:Lesser|Library) General Public",
        "MIT": r"\bMIT\b|\bExpat\b|Permission is hereby granted, free of charge",
        "MPL": r"\bMPL\b|Mozilla Public License",
        "public domain": r"public[- ]domain",
        "zlib": r"\bzlib\b",
    }.items()
}
WORD = re.compile(r"[^\W\d_]+")


@snakepit.tool
def survey(path: str) -> dict:
    """Licences named, word statistics, and the size before and after compression."""
    raw = Path(path).read_bytes()
    text = raw.decode("utf-8", errors="replace")  # some of these files are Latin-1
    words = Counter(word.lower() for word in WORD.findall(text))
    return {
        "path": path,
        "licences": [name for name, pattern in LICENCES.items() if pattern.search(text)],
        "words": sum(words.values()),
        "distinct": len(words),
        "top": [list(pair) for pair in Counter({w: n for w, n in words.items() if len(w) > 5}).most_common(10)],
        "bytes": len(raw),
        "compressed": len(zlib.compress(raw, 6)),
        "utf8": "\ufffd" not in text,
    }
