"""The load driver."""
