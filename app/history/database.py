"""Opens the history's database and brings its tables up to date."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from app import paths
from app.errors import UserError

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0001"  # a test keeps it equal to the newest migration; asking Alembic costs 0.2 s at every start
BUSY_S = 30


class HistoryError(UserError):
    """The history cannot be opened; the message names the database and the remedy."""


def default_url() -> str:
    """``GREENLIGHT_DB``, or SQLite in the data folder."""
    return os.environ.get("GREENLIGHT_DB") or f"sqlite:///{paths.data_folder() / 'history.db'}"


def connect(url: str | None = None) -> Engine:
    """Open the database at ``url`` and migrate it to the newest tables. Raises HistoryError."""
    try:
        parsed = make_url(url or default_url())
        if parsed.drivername.startswith("sqlite") and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, pool_pre_ping=True)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _set_up_sqlite)
        _migrate(engine)
    except (ArgumentError, ModuleNotFoundError) as error:
        raise HistoryError(f"GREENLIGHT_DB is not a database URL that can be used: {error}") from error
    except (OSError, SQLAlchemyError) as error:
        shown = make_url(url or default_url()).render_as_string(hide_password=True)
        raise HistoryError(f"The history {shown} cannot be opened: {_first_line(error)}") from error
    return engine


def _set_up_sqlite(connection: object, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # a DB-API connection
    cursor.execute(f"PRAGMA busy_timeout={BUSY_S * 1000}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        if _revision(connection) == HEAD:
            return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Two processes may open a new history at once: the first takes the lock, the second finds it done.
        connection.execute(text(_LOCK[engine.dialect.name]))
        try:
            if _revision(connection) != HEAD:
                _upgrade(connection)
            connection.execute(text("COMMIT"))
        except BaseException:
            connection.execute(text("ROLLBACK"))
            raise


_LOCK = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "BEGIN; SELECT pg_advisory_xact_lock(7461735)",
}


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found) if found else None


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - 0.2 s that only a new history pays
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise HistoryError(
            f"The history is from a newer Greenlight ({error}). Get that one, or set GREENLIGHT_DB."
        ) from error


def _first_line(error: BaseException) -> str:
    cause = error.orig if isinstance(error, OperationalError) and error.orig else error
    return (str(cause) or type(cause).__name__).splitlines()[0]
