"""The cache family."""
