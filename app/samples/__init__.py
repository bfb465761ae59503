"""Samples of a load scenario on disk: every request exactly, written while it runs, read afterwards."""
