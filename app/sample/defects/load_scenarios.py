"""What shows only under load."""

from __future__ import annotations

from app.sample.defects.defect import Defect
from app.sample.defects.noticing import (
    CACHE_HOSTILE,
    COUNTS_AGREE,
    MEMORY_CEILING,
    SATURATION,
    SOAK,
    SPIKE,
    STRESS,
)

LOAD_SCENARIOS = (
    Defect(
        "slow_under_load",
        "Slow above twelve users",
        "From the thirteenth user on every answer waits, 0.4 s for each user too many, 8 s at most.",
        ("load_scenarios.heavy", SATURATION),
        "load_scenarios",
    ),
    Defect(
        "errors_under_load",
        "Refuses above twelve users",
        "From the thirteenth user on answers are 503.",
        ("load_scenarios.heavy", STRESS),
        "load_scenarios",
    ),
    Defect(
        "collapse_past_peak",
        "Hangs instead of refusing",
        "When a new question finds no place at the model, it and those of the next 2 s hang for 30 s.",
        (SATURATION,),
        "load_scenarios",
    ),
    Defect(
        "crash_at_50_users",
        "Dies of fifty users, and is started again at once",
        "With fifty users at the same time the process ends; a supervisor starts another one.",
        (STRESS,),
        "load_scenarios",
    ),
    Defect(
        "slow_after_burst",
        "Stays slow after a burst",
        "When calm traffic grows suddenly, every second hit of the cache takes 1.5 s more for a minute.",
        (SPIKE,),
        "load_scenarios",
    ),
    Defect(
        "errors_without_cache",
        "Fails where the cache does not help",
        "After forty new questions in a row every fourth of those asked at the same time is a 500.",
        (SATURATION, CACHE_HOSTILE),
        "load_scenarios",
    ),
    Defect(
        "memory_leak",
        "Memory grows with each new question",
        "For each question that the cache did not know 80 kB are kept for good.",
        (SOAK,),
        "load_scenarios",
    ),
    Defect(
        "errors_pile_up",
        "Errors grow as traffic goes on",
        "While known and new questions keep coming, more and more of them fail, until there is a pause.",
        (SOAK,),
        "load_scenarios",
    ),
    Defect(
        "memory_hungry",
        "Needs half a gigabyte",
        "From its start the service holds 500 MB more than it should have.",
        (MEMORY_CEILING,),
        "load_scenarios",
    ),
    Defect(
        "metrics_undercount",
        "One request in ten is not counted",
        "http_requests_total leaves out every tenth request; everything else is counted.",
        (COUNTS_AGREE,),
        "load_scenarios",
    ),
)
