"""From samples to figures, and whether those can be trusted."""
