"""The endpoint_health family."""
