"""The house rules of the tree: who may import whom."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PURE = tuple(
    f"app.{name}"
    for name in ("scoring", "rubric", "compare", "claims", "causes", "records", "wording", "breakages")
)


def modules() -> dict[str, Path]:
    found = {"streamlit_app": ROOT / "streamlit_app.py"}
    for top in ("app", "checks"):
        for file in sorted((ROOT / top).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports_of(file: Path) -> set[str]:
    """Every module that a file names, at the top or inside a function, but not for type checkers alone."""
    names: set[str] = set()
    for node in runtime_nodes(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from runtime_nodes(node)


MODULES = modules()
IMPORTS = {name: imports_of(file) for name, file in MODULES.items()}


def reached_from(name: str) -> set[str]:
    seen: set[str] = set()
    queue = [name]
    while queue:
        for target in IMPORTS.get(queue.pop(), set()):
            if target not in seen:
                seen.add(target)
                queue.append(target)
    return seen


def named(names: set[str], package: str) -> set[str]:
    return {name for name in names if name == package or name.startswith(package + ".")}


CONTRACT = [name for name in MODULES if named({name}, "checks.contract")]


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in MODULES
        if name.startswith("checks.") and name.count(".") >= 2 and name not in CONTRACT
    ],
)
def test_a_check_imports_the_standard_library_and_the_contract_only(name: str) -> None:
    family = ".".join(name.split(".")[:2])
    for target in IMPORTS[name]:
        top = target.partition(".")[0]
        own = target.startswith((f"{family}._", "checks.contract")) or target == family
        assert top in sys.stdlib_module_names or own, f"{name} imports {target}"


@pytest.mark.parametrize("name", CONTRACT)
def test_the_contract_knows_no_check(name: str) -> None:
    assert named(IMPORTS[name], "checks") == named(IMPORTS[name], "checks.contract")


def test_the_checks_package_imports_nothing_of_app_and_no_library_that_talks() -> None:
    for name in (name for name in MODULES if name.partition(".")[0] == "checks"):
        outside = {target.partition(".")[0] for target in IMPORTS[name]} - sys.stdlib_module_names
        assert outside <= {"checks", "pydantic", "pydantic_core"}, f"{name} imports {outside}"


@pytest.mark.parametrize("name", [*PURE, *(name for name in MODULES if name.startswith("app.reports"))])
def test_scoring_and_reports_never_reach_engine_instruments_or_streamlit(name: str) -> None:
    reached = reached_from(name)
    for package in ("app.engine", "app.instruments", "app.history", "streamlit"):
        assert not named(reached, package), f"{name} reaches {named(reached, package)}"


def test_only_the_views_import_streamlit() -> None:
    importers = {name for name in MODULES if named(IMPORTS[name], "streamlit")}
    assert importers <= {name for name in MODULES if name.startswith(("app.views", "streamlit_app"))}


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("app.instruments")])
def test_instruments_never_judge(name: str) -> None:
    for package in ("checks.contract.findings", "app.scoring", "app.rubric", "app.engine", "app.history"):
        assert not named(IMPORTS[name], package), f"{name} imports {package}"


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("app.views")])
def test_views_touch_no_database_and_no_service(name: str) -> None:
    for package in ("sqlalchemy", "httpx", "redis", "app.instruments", "app.engine", "app.scoring"):
        assert not named(IMPORTS[name], package), f"{name} imports {package}"


def test_no_folder_is_named_pages() -> None:
    places = [ROOT / "pages", *(ROOT / "app").rglob("pages"), *(ROOT / "checks").rglob("pages")]
    assert not [path for path in places if path.is_dir()]


def test_scoring_stays_under_a_hundred_lines() -> None:
    assert len((ROOT / "app" / "scoring.py").read_text(encoding="utf-8").splitlines()) < 100
