"""The error_recovery family."""
