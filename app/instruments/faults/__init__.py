"""Levers: what breaks one dependency on purpose and puts it back."""
