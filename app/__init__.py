"""How readiness is measured, scored, kept and shown."""
