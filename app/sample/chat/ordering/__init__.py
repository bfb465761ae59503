"""Orders: three steps at three partners, one effect for one key."""
