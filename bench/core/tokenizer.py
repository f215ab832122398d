"""What is wrong with a model's tokenizer and chat template, told before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.core.model_files import check_pointer, read_object

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_MARK = "usertextmark"  # what a chat template is tried on


def check_tokenizer(folder: Path, config: Mapping[str, Any]) -> None:
    """Raises UserError where there is no tokenizer, no mark for the end of an answer, or a broken chat template."""
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise UserError(
            "the model has no tokenizer.",
            where=str(folder),
            remedy="Copy tokenizer.json and tokenizer_config.json too.",
        )
    path = folder / "tokenizer_config.json"
    about = read_object(path) if path.is_file() else {}
    generation = folder / "generation_config.json"
    ends = (about, config, config.get("text_config") or {}, read_object(generation) if generation.is_file() else {})
    if not any(end.get("eos_token") is not None or end.get("eos_token_id") is not None for end in ends):
        raise UserError(
            "the tokenizer names no end token (`eos_token`), so that no answer would end.",
            where=str(path),
            remedy='Add it, such as "eos_token": "</s>".',
        )
    _check_template(folder, about)


def _check_template(folder: Path, about: Mapping[str, Any]) -> None:
    """Raises UserError where a chat template is broken, or the one that prompts are written by cannot write a question
    alone, which each of them has. Others, such as one for tools, may need more than a question."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        check_pointer(file, "chat template")
    where = str(file if file.is_file() else folder / "tokenizer_config.json")
    template = file.read_text(encoding="utf-8") if file.is_file() else about.get("chat_template")
    named = template if isinstance(template, list) else [{"name": "default", "template": template}]
    several = [entry for entry in named if isinstance(entry, dict) and isinstance(entry.get("template"), str)]
    for entry in sorted(several, key=lambda entry: entry.get("name") == "default"):
        _try_template(entry["template"], about, where, asked=entry.get("name") == "default")


def _try_template(template: str, about: Mapping[str, Any], where: str, *, asked: bool) -> None:
    """Raises UserError for what is no Jinja, and where it is `asked` also for what cannot write a question."""
    import jinja2
    from transformers.utils.chat_template_utils import render_jinja_template  # one second

    question: list[Any] = [[{"role": "user", "content": _MARK}]]
    special: dict[str, Any] = {
        name: token for name, value in about.items() if name.endswith("_token") and (token := _token(value))
    }
    # a template is a program of its own: these are what it raises, and what its expressions may
    faults = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
    try:
        written: Any = render_jinja_template(
            conversations=question, chat_template=template, add_generation_prompt=True, **special
        )
    except jinja2.TemplateSyntaxError as e:
        raise UserError(
            f"the chat template is no valid Jinja: {e.message}, line {e.lineno}.",
            where=where,
            remedy="Copy the template of the model again.",
        ) from None
    except faults as e:
        if not asked:
            return
        raise UserError(
            f"the chat template cannot write a question: {type(e).__name__}: {e}.",
            where=where,
            remedy="Copy the template of the model again, or use a model that was tuned to be asked.",
        ) from None
    if asked and _MARK not in written[0][0]:
        raise UserError(
            "the chat template drops what the user says.",
            where=where,
            remedy="It is made for another kind of input; use a model that is asked in text.",
        )


def _token(value: object) -> str:
    """A special token as a tokenizer's settings name it: a string, or an object that holds one."""
    found = value.get("content") if isinstance(value, Mapping) else value
    return found if isinstance(found, str) else ""
