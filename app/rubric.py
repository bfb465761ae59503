"""The rubric: how many points each check is worth, and what a score means. Read strictly from TOML."""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app import paths
from app.errors import UserError
from app.records import BandMark, RubricRef, Severity, Verdict
from checks import LoadedCheck, all_checks

Model = TypeVar("Model", bound=BaseModel)
TOTAL_POINTS = 100.0
TOLERANCE = 1e-6


class RubricError(UserError):
    """A rubric cannot be used; the message names file, key and remedy."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Strict):
    """What one check is worth, and limits that differ from its own."""

    severity: Severity
    category: str
    points: float = Field(ge=0, le=TOTAL_POINTS)
    thresholds: dict[str, float] = {}


class Band(_Strict):
    """A verdict, from which score and with which coverage it may be given."""

    verdict: Verdict
    from_score: float = Field(alias="from", ge=0, le=100)
    min_coverage: float = Field(ge=0, le=1)


class Caps(_Strict):
    """The best verdict that an open P0 allows."""

    p0_failed: Verdict
    p0_not_assessed: Verdict


class Rubric(_Strict):
    """A whole rubric, checked. ``bands`` stand from worst to best."""

    name: str
    version: int = Field(ge=1)
    categories: dict[str, float]
    bands: tuple[Band, ...] = Field(min_length=1)
    caps: Caps
    grades: dict[str, float] = Field(min_length=1)
    checks: dict[str, Entry]
    sha256: str = ""

    @property
    def ref(self) -> RubricRef:
        """What a run keeps of the rubric that scored it."""
        bands = tuple(BandMark(**band.model_dump()) for band in self.bands)
        return RubricRef(
            name=self.name, version=self.version, sha256=self.sha256, bands=bands, grades=self.grades
        )

    def grade(self, score: float) -> str:
        """The letter of a score."""
        earned = [letter for letter, at_least in self.grades.items() if score >= at_least]
        return max(earned, key=lambda letter: self.grades[letter])


def load(path: Path | None = None, checks: Mapping[str, LoadedCheck] | None = None) -> Rubric:
    """Read the rubric for ``checks`` (by default all), with the entries that plug-in folders bring.

    The entries of a plug-in's own ``rubric.toml`` keep their points; the others are scaled down so that the
    sum stays 100. Raises RubricError.
    """
    file = path or paths.rubric_file()
    plugins = paths.plugin_folders()
    checks = all_checks(plugins) if checks is None else checks
    text = _read(file)
    document = _parse(file, text)
    rubric = _validated(file, Rubric, document)
    _sums_to_total(file, rubric)
    digest = hashlib.sha256(text)
    for folder in plugins:
        fragment = folder / "rubric.toml"
        if fragment.is_file():
            digest.update(_read(fragment))
            rubric = _with_plugin(rubric, fragment)
    _matches_checks(file, rubric, checks)
    return rubric.model_copy(update={"sha256": digest.hexdigest()})


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RubricError(
            f"{file}: cannot be read: {error.strerror}. Set GREENLIGHT_RUBRIC to a rubric."
        ) from error


def _parse(file: Path, text: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RubricError(f"{file}: not TOML: {error}") from error


def _validated(file: Path, model: type[Model], document: object) -> Model:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        # A misspelt key is also a missing one: the spelling is what to mend.
        first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in first["loc"])
        raise RubricError(f"{file}: {key}: {first['msg']}") from error


def _sums_to_total(file: Path, rubric: Rubric) -> None:
    total = sum(entry.points for entry in rubric.checks.values())
    if abs(total - TOTAL_POINTS) > TOLERANCE:
        raise RubricError(
            f"{file}: [checks] points add up to {total:g}, not 100. Change points until they do."
        )
    for category, weight in rubric.categories.items():
        given = sum(entry.points for entry in rubric.checks.values() if entry.category == category)
        if abs(given - weight) > TOLERANCE:
            raise RubricError(
                f"{file}: category {category} weighs {weight:g}, its checks have {given:g} points"
            )
    for check, entry in rubric.checks.items():
        if entry.category not in rubric.categories:
            hint = _nearest(entry.category, rubric.categories)
            raise RubricError(f"{file}: checks.{check}: unknown category {entry.category!r}{hint}")
    starts = [band.from_score for band in rubric.bands]
    if starts != sorted(starts) or starts[0] != 0:
        raise RubricError(f"{file}: [[bands]] must stand from 0 upwards")
    if min(rubric.grades.values()) > 0:
        raise RubricError(f"{file}: [grades] needs a letter from 0")


def _with_plugin(rubric: Rubric, fragment: Path) -> Rubric:
    class Fragment(_Strict):
        checks: dict[str, Entry]

    extra = _validated(fragment, Fragment, _parse(fragment, _read(fragment))).checks
    added = sum(entry.points for entry in extra.values())
    if added >= TOTAL_POINTS:
        raise RubricError(f"{fragment}: its checks have {added:g} points; they must leave some of the 100")
    twice = sorted(set(extra) & set(rubric.checks))
    if twice:
        raise RubricError(f"{fragment}: checks.{twice[0]}: is already in the rubric")
    scale = (TOTAL_POINTS - added) / TOTAL_POINTS
    entries = {
        name: entry.model_copy(update={"points": entry.points * scale})
        for name, entry in rubric.checks.items()
    }
    entries |= extra
    weights: dict[str, float] = {}
    for entry in entries.values():
        weights[entry.category] = weights.get(entry.category, 0.0) + entry.points
    ordered = {name: weights[name] for name in (*rubric.categories, *weights) if name in weights}
    return rubric.model_copy(update={"checks": entries, "categories": ordered})


def _matches_checks(file: Path, rubric: Rubric, checks: Mapping[str, LoadedCheck]) -> None:
    for name, entry in rubric.checks.items():
        if name not in checks:
            raise RubricError(f"{file}: checks.{name}: there is no such check{_nearest(name, checks)}")
        known = checks[name].thresholds.__dataclass_fields__
        for key in entry.thresholds:
            if key not in known:
                raise RubricError(
                    f"{file}: checks.{name}.thresholds.{key}: unknown threshold{_nearest(key, known)}"
                )
    without = sorted(set(checks) - set(rubric.checks))
    if without:
        raise RubricError(
            f'{file}: check {without[0]} has no entry. Add [checks."{without[0]}"] with its points.'
        )


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
