from __future__ import annotations

from pathlib import Path

import pytest

from app import paths, rubric
from app.rubric import RubricError
from checks import all_checks

TEXT = (paths.ROOT / "data" / "rubric.toml").read_text(encoding="utf-8")
CHECKS = all_checks()


def load(tmp_path: Path, text: str) -> rubric.Rubric:
    file = tmp_path / "rubric.toml"
    file.write_text(text, encoding="utf-8")
    return rubric.load(file, CHECKS)


def test_the_rubric_of_the_project_is_sound_and_its_points_add_up_to_100() -> None:
    book = rubric.load()
    assert sum(entry.points for entry in book.checks.values()) == 100
    assert set(book.checks) == set(CHECKS)


def test_the_categories_weigh_what_the_catalogue_says() -> None:
    assert rubric.load().categories == {
        "performance": 25,
        "reliability": 25,
        "scalability": 15,
        "security": 15,
        "observability": 15,
        "cost": 5,
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("points = 3", "points = 2"), "add up to 99, not 100"),
        (('[checks."cache.reachable"]', '[checks."cache.reachabel"]'), "did you mean 'cache.reachable'?"),
        (("severity =", "severty ="), "severty"),
        (('category = "cost"', 'category = "costs"'), "cost"),
        ((f"version = {rubric.load().version}", 'version = "one"'), "version"),
        (("points = 3", "points = -3"), "points"),
        (("from = 60", "from = 95"), "[[bands]] must stand from 0 upwards"),
        (('"F" = 0', '"F" = 1'), "[grades] needs a letter from 0"),
        (("[categories]", "[categories"), "not TOML"),
    ],
)
def test_a_bad_rubric_is_one_message_that_names_file_and_key(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    assert change[0] in TEXT
    with pytest.raises(RubricError) as error:
        load(tmp_path, TEXT.replace(*change, 1))
    assert str(tmp_path / "rubric.toml") in str(error.value)
    assert says in str(error.value)


def test_an_unknown_threshold_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    known = next(iter(CHECKS["cache.reachable"].thresholds.__dataclass_fields__))
    text = TEXT + f'\n[checks."cache.reachable".thresholds]\n{known}x = 1\n'
    with pytest.raises(RubricError, match=f"did you mean '{known}'"):
        load(tmp_path, text)


def test_a_check_without_an_entry_is_an_error(tmp_path: Path) -> None:
    start = TEXT.index('[checks."cache.reachable"]')
    entry = TEXT[start : TEXT.index("[checks.", start + 1)]
    lost = int(entry.rpartition("points = ")[2].split()[0])
    before, found, after = TEXT.replace(entry, "").partition('category = "reliability"\npoints = ')
    text = before + found + str(int(after.split()[0]) + lost) + "\n" + after.partition("\n")[2]
    with pytest.raises(RubricError, match="cache.reachable has no entry"):
        load(tmp_path, text)


def test_a_missing_rubric_says_which_file(tmp_path: Path) -> None:
    with pytest.raises(RubricError, match="nowhere.toml: cannot be read"):
        rubric.load(tmp_path / "nowhere.toml", CHECKS)


def test_the_hash_changes_with_the_text(tmp_path: Path) -> None:
    assert load(tmp_path, TEXT).sha256 != load(tmp_path, TEXT + "\n# a remark\n").sha256


@pytest.mark.parametrize(
    ("score", "grade"), [(100, "A+"), (97, "A+"), (96.9, "A"), (60, "D"), (59.9, "F"), (0, "F")]
)
def test_grades_begin_on_their_limit(score: float, grade: str) -> None:
    assert rubric.load().grade(score) == grade
