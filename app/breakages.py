"""What a run broke on purpose, what came of it, and how it was put back: the run's recovery report. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from app.records import Breakage, RunEvent


def breakages(events: Iterable[RunEvent]) -> tuple[Breakage, ...]:
    """One for each time that a lever broke something, in order, from the events of a run.

    What never came back in this run, because it was killed amid it, has no ``seconds``.
    """
    found: list[Breakage] = []
    check = ""
    for event in events:
        if event.kind == "check" and event.check:
            check = event.check
        if event.kind != "lever":
            continue
        lever, what = str(event.data.get("lever", "")), event.data.get("what")
        detail = str(event.data.get("detail") or "")
        if what == "broken":
            way = str(event.data.get("way", ""))
            found.append(Breakage(check=check, lever=lever, way=way, began_at=event.at, by_hand=detail))
            continue
        for place in range(len(found) - 1, -1, -1):
            if found[place].lever == lever and found[place].seconds is None:
                seconds = (event.at - found[place].began_at).total_seconds()
                restored = what == "restored"
                ended = {"seconds": seconds, "restored": restored, "problem": "" if restored else detail}
                found[place] = found[place].model_copy(update=ended)
                break
    return tuple(found)


def by_check(breakages: Iterable[Breakage]) -> dict[str, list[Breakage]]:
    """The breakages of each check, in the order that checks broke something."""
    found: dict[str, list[Breakage]] = {}
    for each in breakages:
        found.setdefault(each.check, []).append(each)
    return found
