"""Experiments that the team has already."""

from __future__ import annotations

from pydantic import Field

from checks.contract.target.calls import Table


class ChaosExperiment(Table):
    """``[[chaos]]``: an experiment of the Chaos Toolkit, JSON or YAML.

    ``file`` is on this machine; where it is relative, it is so to the target file. What the experiment breaks
    is put back by its own rollbacks, also when it is ended after ``within_s``.
    """

    file: str = Field(min_length=1)
    within_s: float = Field(default=60.0, gt=0, le=3600)
