"""What was measured, kept: models, store, migrations."""
