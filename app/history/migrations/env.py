"""Runs the migrations on the connection that app.history.database hands over, inside its transaction."""

from alembic import context

from app.history.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transaction_per_migration=False,
    transactional_ddl=False,  # the caller holds the transaction and its lock
)
context.run_migrations()
