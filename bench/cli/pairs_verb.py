"""The verb `pairs`: questions and answers from one's own documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Json
from bench.cli.say import say


def pairs(
    docs: Annotated[
        Path,
        typer.Argument(metavar="DOCS", help="A folder of documents; with --review, a folder that was written before."),
    ],
    out: Annotated[Path | None, typer.Option(help="The native folder to write.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model that drafts: a local folder, a hub id, or a served name.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="OpenAI-compatible endpoint that serves it.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the endpoint's key.")] = None,
    checker: Annotated[
        str | None, typer.Option(help="A local model that checks the pairs instead of the one that drafts them.")
    ] = None,
    size: Annotated[int, typer.Option(min=100, help="Characters of a passage, at most.")] = 800,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be asked, and ask nothing.")] = False,
    prompt_usd: Annotated[
        float | None, typer.Option(min=0, help="USD for a million prompt tokens; with --plan it tells the cost.")
    ] = None,
    completion_usd: Annotated[float | None, typer.Option(min=0, help="USD for a million completion tokens.")] = None,
    review: Annotated[bool, typer.Option("--review", help="Apply the decisions of review.csv in DOCS.")] = False,
    as_json: Json = False,
) -> None:
    """Draft question-answer pairs from DOCS, check each by a round trip, and write them as a dataset to review."""
    from pydantic import ValidationError

    from bench.core.blocks import Model
    from bench.core.errors import UserError, first_error
    from bench.core.redact import secret
    from bench.execution import pairs as drafting
    from bench.execution.asker import PLAIN
    from bench.execution.review import decided

    if review:
        accepted, dropped, rest = decided(docs)
        say(f"{accepted} pairs accepted, {dropped} dropped, {rest} not reviewed.")
        return
    if plan:
        corpus, _ = drafting.corpus_of(docs, size)
        found = drafting.planned(corpus, prompt_usd=prompt_usd, completion_usd=completion_usd)
        if as_json:
            print(json.dumps(found))
            return
        usd = "" if found["usd"] is None else f", {found['usd']:,.2f} USD"
        say(
            f"{found['passages']:,} passages: {found['requests']:,} requests at most, about {found['prompt_tokens']:,} "
            f"prompt tokens and {found['completion_tokens']:,} completion tokens{usd}."
        )
        return
    if out is None or model is None:
        raise UserError("give --out, the folder to write, and --model, the model that drafts.", where="ragtune pairs")
    secret(api_key_env, "--api-key-env")
    try:
        drafter = Model(name=model if base_url else _located(model), base_url=base_url, api_key_env=api_key_env)
    except ValidationError as e:
        raise UserError(first_error(e), where="ragtune pairs") from None
    by = Model(name=_located(checker)) if checker else drafter
    prompt = drafting.MICRO if (checker or ("" if base_url else model)) == "micro" else PLAIN

    def told(stage: str, done: int, total: int) -> None:
        say(f"{stage}: {done} of {total}", err=True)

    made = drafting.make(docs, out, drafter, by, prompt=prompt, size=size, tell=told)
    if as_json:
        print(json.dumps({"folder": str(made.folder), "kept": dict(made.kept), "dropped": dict(made.dropped)}))
        return
    for what, number in made.kept.items():
        say(f"{number} pairs: {what}")
    for why, number in made.dropped.items():
        say(f"{number} drafts left out: {why}")
    say(f"Written to {out}. Review {out / 'review.csv'}, then run `ragtune pairs {out} --review`.")


def _located(name: str) -> str:
    """The folder of an embedded model; any other name as it is."""
    from bench.spec.paths import embedded_path

    return str(embedded_path("model", name)) if name == "micro" else name
