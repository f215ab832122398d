"""A model that is asked, with what it said before: an answer is kept as it comes, so that a stopped run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.blocks import Model, Prompt
from bench.core.digest import digest_of_parts
from bench.core.errors import UserError
from bench.core.files import drop_torn_line, read_jsonl
from bench.core.store import Store
from bench.core.system import System
from bench.core.vocabulary import Material, Passage, Question
from bench.spec import kinds

Tell = Callable[[str, int, int], None]
AT_ONCE = 32  # questions that a model is given before its answers are written down
TOKENS = 160  # of a draft, at most
NEAREST = 4  # passages that may still answer a question whose own sentence was taken away
PLAIN = Prompt()


@dataclass(frozen=True)
class Asker:
    """A model, with what it said before."""

    model: Model
    log: Path
    tell: Tell
    prompt: Prompt = PLAIN  # of a question with its passages, or without

    def ask(
        self, stage: str, kind: str, questions: Sequence[Question], corpus: Sequence[Passage] = ()
    ) -> list[str | None]:
        """What the model says to each question: with the passages that it names as gold where `kind` is `oracle`, with
        those that come nearest where it is `rag`; None where it failed. Raises UserError where it says nothing to any
        of them."""
        texts = {p.id: p.text for p in corpus}
        searched = digest_of_parts([ident, text] for ident, text in texts.items()) if kind == "rag" else ""
        keys = [self._key(kind, question, texts, searched) for question in questions]
        drop_torn_line(self.log)
        known = {str(row["key"]): str(row["said"]) for _, row in read_jsonl(self.log)} if self.log.exists() else {}
        failed = ""
        todo = [(key, question) for key, question in zip(keys, questions, strict=True) if key not in known]
        if todo:
            system, done = self._system(kind, corpus), len(keys) - len(todo)
            with self.log.open("a", encoding="utf-8") as out:
                for start in range(0, len(todo), AT_ONCE):
                    part = todo[start : start + AT_ONCE]
                    for (key, _), answer in zip(part, system.answer([q for _, q in part]), strict=True):
                        if answer.error is None:
                            known[key] = answer.text
                            out.write(json.dumps({"key": key, "said": answer.text}, ensure_ascii=False) + "\n")
                        else:
                            failed = failed or answer.error
                    out.flush()
                    self.tell(stage, done + min(start + AT_ONCE, len(todo)), len(keys))
        if questions and not any(key in known for key in keys):
            raise UserError(f"the model answered none of {len(keys)} requests: {failed}.", where=self.model.name)
        return [known.get(key) for key in keys]

    def _key(self, kind: str, question: Question, texts: Mapping[str, str], searched: str) -> str:
        """Of all that the answer depends on."""
        shown = sorted({(ident, texts[ident]) for ident in question.gold if ident in texts})
        parts = [self.model.name, self.model.base_url, kind, question.text, shown, *([searched] if searched else [])]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def _system(self, kind: str, corpus: Sequence[Passage]) -> System:
        found = kinds.load(kind if kind in ("oracle", "rag") else "closed_book")
        bare = Prompt(system="", closed_book="{question}")
        prompt = bare if kind == "draft" else self.prompt
        config = found.Config.model_validate(
            {
                "model": self.model.model_dump(),
                "prompt": prompt.model_dump(),
                "generation": {"max_new_tokens": TOKENS if kind == "draft" else 32, "batch_size": 8},
                **({"retrieval": {"mode": "bm25", "k": NEAREST, "chunking": None}} if kind == "rag" else {}),
            }
        )
        return found.build(config, Material(tuple(corpus)), Store(self.log.parent / ".store"))
