"""Greenlight's own load driver: closed model, exact samples. ``driver.LoadDriver`` is its entry."""
