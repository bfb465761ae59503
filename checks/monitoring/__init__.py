"""The monitoring family."""
