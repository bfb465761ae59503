"""Charts, as plain dicts: a ``go.Figure`` built step by step costs ten times as much at every rerun."""
