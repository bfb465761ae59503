"""Levers: what breaks one dependency of the service on purpose, and always restores it."""
