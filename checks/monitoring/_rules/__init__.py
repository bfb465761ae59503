"""Reads alert rules for what they can return, asks Prometheus for what that takes, and judges each.

``reading`` and what it uses (operators, functions, selecting...) say what an expression can return, whatever
the service does; ``asking`` fetches ``facts`` in few requests; ``verdicts`` puts the two together. Private to
this family.
"""
