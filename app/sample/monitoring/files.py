"""The configuration of what watches the sample: the files of data/monitoring, with its addresses and hurry.

A minute of those files is a second here, and what is scraped there every 15 s is scraped every second.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from app import paths
from app.sample.monitoring.broken import DASHBOARD, ROUTES, RULES, SCRAPES, with_defects
from app.sample.processes import address
from app.sample.serving import HOST
from app.sample.state import State, write_private

NAMES = (SCRAPES, ROUTES, RULES, DASHBOARD)
FASTER = {r"\b1[05]s\b": "1s", r"\b([0-9]+)m\b": r"\1s"}
Documents = dict[str, Any]


def rendered(state: State) -> dict[str, str]:
    """The text of each file that this sample has."""
    return {
        name: json.dumps(document, indent=2) if name == DASHBOARD else yaml.safe_dump(document)
        for name, document in documents(state).items()
        if document is not None
    }


def documents(state: State) -> Documents:
    """Each file for this sample, read; None where it has none."""
    found: Documents = {}
    for name in NAMES:
        text = (paths.monitoring_folder() / name).read_text(encoding="utf-8")
        for pattern, faster in FASTER.items() if name != DASHBOARD else ():
            text = re.sub(pattern, faster, text)
        for example, here in _addresses(state).items():
            text = text.replace(example, here)
        found[name] = json.loads(text) if name == DASHBOARD else yaml.safe_load(text)
    return with_defects(found, frozenset(state.defects))


def _addresses(state: State) -> dict[str, str]:
    return {
        "alertmanager.example:9093": f"{HOST}:{state.ports['alertmanager']}",
        "chat.example:8003": f"{HOST}:{state.ports['chat']}",
        "https://chat.example": state.url,
        "http://pager.example": f"{address(state.ports['stub'])}/pager",
    }


def write(state: State) -> frozenset[str]:
    """Write the files; the names of those that changed."""
    folder = state.folder / "monitoring"
    folder.mkdir(mode=0o700, exist_ok=True)
    texts = rendered(state)
    changed = {name for name in NAMES if _kept(folder / name) != texts.get(name)}
    for name in changed:
        if name in texts:
            write_private(folder / name, texts[name])
        else:
            (folder / name).unlink()
    return frozenset(changed)


def _kept(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None
