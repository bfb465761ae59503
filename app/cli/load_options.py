"""The options of ``load``, in the panels in which its help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

MODEL = "How much"
Users = Annotated[
    int | None,
    typer.Option(
        min=1, help="Closed model: users who ask, wait for the answer, ask again", rich_help_panel=MODEL
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        min=0.001, help="Open model: arrivals a second, whatever the answers do", rich_help_panel=MODEL
    ),
]
Stage = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RATE:S",
        help="Open model, repeatable: RATE:SECONDS, or a ramp FROM:TO:SECONDS",
        rich_help_panel=MODEL,
    ),
]
Duration = Annotated[
    float | None,
    typer.Option(min=0.1, metavar="S", help="How long it is measured; default 10", rich_help_panel=MODEL),
]
Warmup = Annotated[
    float, typer.Option(min=0, metavar="S", help="Before that, and left out", rich_help_panel=MODEL)
]
Think = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="MS",
        help="Closed model: a user's pause between questions; default 0",
        rich_help_panel=MODEL,
    ),
]
MaxInFlight = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Open model: under way at most; arrivals beyond are dropped, and counted; default 1000",
        rich_help_panel=MODEL,
    ),
]
Spacing = Annotated[
    Literal["poisson", "even"] | None,
    typer.Option(help="Open model: how arrivals are spaced; default poisson", rich_help_panel=MODEL),
]

ASKED = "What is asked"
Route = Annotated[
    Literal["ask", "stream"] | None,
    typer.Option(help="Which route of the target; default ask if declared", rich_help_panel=ASKED),
]
Method = Annotated[
    str | None, typer.Option(help="For a URL: GET, or POST where there is a body", rich_help_panel=ASKED)
]
Header = Annotated[
    list[str] | None,
    typer.Option(
        metavar="'NAME: VALUE'", help="For a URL; ${ENV} for a secret; repeatable", rich_help_panel=ASKED
    ),
]
Body = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT|@FILE", help="For a URL; {prompt} and {nonce} are filled in", rich_help_panel=ASKED
    ),
]
Prompts = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Questions: one a line, or .jsonl with a prompt key", rich_help_panel=ASKED
    ),
]
Zipf = Annotated[
    float | None,
    typer.Option(
        min=0, metavar="S", help="The k-th question is asked with weight k^-S", rich_help_panel=ASKED
    ),
]
Fresh = Annotated[
    float,
    typer.Option(
        min=0, max=1, metavar="SHARE", help="Share of questions never asked before", rich_help_panel=ASKED
    ),
]

ENDS = "When to stop, what is good"
Timeout = Annotated[
    float, typer.Option(min=0.1, metavar="S", help="Then it counts as failed", rich_help_panel=ENDS)
]
StopFailures = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, metavar="RATIO", help="Stop where more than this fails ...", rich_help_panel=ENDS
    ),
]
StopP95 = Annotated[
    float | None,
    typer.Option(min=0, metavar="MS", help="... or the p95 is above this ...", rich_help_panel=ENDS),
]
StopAfter = Annotated[float, typer.Option(min=0, metavar="S", help="... for this long", rich_help_panel=ENDS)]
GoalLatency = Annotated[
    float | None,
    typer.Option(min=0, metavar="MS", help="Goodput: an answer is good within this", rich_help_panel=ENDS),
]
GoalFirstToken = Annotated[
    float | None,
    typer.Option(min=0, metavar="MS", help="Goodput: its first token within this", rich_help_panel=ENDS),
]
GoalTpot = Annotated[
    float | None,
    typer.Option(min=0, metavar="MS", help="Goodput: a token at least every so often", rich_help_panel=ENDS),
]

WHERE = "Where it runs and goes"
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=256,
        help="Processes; on GREENLIGHT_DASK all its workers by default",
        rich_help_panel=WHERE,
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", help="Write the figures as JSON (- for stdout)", rich_help_panel=WHERE
    ),
]
Samples = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.parquet",
        help="Every request; default data/samples/load-TIME.parquet",
        rich_help_panel=WHERE,
    ),
]
