"""A fictional world made a dataset: questions by stratum, each with its gold passages, split without leakage.

Training asks about a part of the plant's entities alone, and every stratum but `asked` and `updated` is about the
others. Training questions and test questions are worded apart.
"""

from __future__ import annotations

import itertools
import math
import random
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.core.files import write_json
from bench.core.vocabulary import JSON, Example, Passage, Question
from bench.data.formats.native import write_parts
from bench.world.language import DONE, KINDS, ORDER, TEST, TRAIN, Wordings, ask, filled, noun
from bench.world.world import Entity, World

STRATA = {  # stratum -> its share of the test, in percent
    "asked": 21, "corpus_only": 21, "updated": 8, "two_hop": 10, "comparison": 9, "list": 3, "unanswerable": 15,
    "house_style": 8, "general": 5,
}  # fmt: skip
MEANT = {  # stratum -> what it asks, for dataset.yaml and from there the page
    "asked": "a fact that training asked too, in other words",
    "corpus_only": "a fact that stands in the corpus and that training never asked",
    "updated": "as asked, and a later version of the corpus says something else",
    "two_hop": "needs a page and the page that it refers to",
    "comparison": "which of two is higher",
    "list": "every machine that has a value",
    "unanswerable": "the corpus does not say: right is to abstain",
    "house_style": "a work order: its form stands only in training, its facts only in the corpus",
    "general": "a fact of another world, for forgetting",
}


@dataclass(frozen=True)
class Row:
    """A question before it has a number. `topic` is what no other row may ask."""

    topic: tuple[object, ...]
    text: str
    answers: tuple[str, ...]
    gold: tuple[str, ...]
    stratum: str
    group: str
    updated: tuple[str, ...] = ()
    form: str = ""
    facts: tuple[str, ...] = ()

    def example(self, split: str, number: int) -> Example:
        return Example(
            Question(f"{split}-{number:05d}", self.text, self.gold), self.answers, self.stratum, self.group, split,
            self.updated, self.form, self.facts,
        )  # fmt: skip


@dataclass(frozen=True)
class Quiz:
    """The questions of a world. `paraphrases` is in how many wordings training asks each fact."""

    world: World
    train: int
    dev: int
    test: int
    paraphrases: int = 3
    unanswerable: float = 0.15  # share of the test, and four fifths of it of the training
    restated: int = 0  # how often each page is said again in other words, to train on
    elsewhere: World = field(init=False)

    def __post_init__(self) -> None:
        if not 1 <= self.paraphrases <= 2 * len(TRAIN.single):
            raise ValueError(
                f"there are 1 to {2 * len(TRAIN.single)} training wordings of a question, not {self.paraphrases}"
            )
        if not 0 <= self.unanswerable < 1:
            raise ValueError("the unanswerable share is in [0, 1)")
        if min(self.train, self.test) < 1 or min(self.dev, self.restated) < 0:
            raise ValueError("train and test are at least 1, dev and restated at least 0")
        w = self.world
        object.__setattr__(
            self,
            "elsewhere",
            World(f"{w.seed}/elsewhere", max(30, w.pages // 10), w.facts, w.wordings, side="elsewhere"),
        )

    def corpus(self) -> Iterator[Passage]:
        """Every passage, one at a time: the plant's, then those of the other world."""
        yield from self.world.passages()
        yield from self.elsewhere.passages(prefix="g")

    def examples(self) -> tuple[tuple[Example, ...], tuple[Example, ...], tuple[Example, ...]]:
        """(train, dev, test). Raises ValueError where the world is too small for them."""
        tests = self._tests()
        asked = [row for row in tests if row.stratum in ("asked", "updated")]
        train, dev = self._train(asked, {row.topic for row in tests}), self._dev()
        return (
            tuple(r.example("train", n) for n, r in enumerate(train)),
            tuple(r.example("dev", n) for n, r in enumerate(dev)),
            tuple(r.example("test", n) for n, r in enumerate(tests)),
        )

    def sizes(self) -> dict[str, int]:
        """Test questions of each stratum."""
        rest = sum(v for k, v in STRATA.items() if k != "unanswerable")
        share = {k: v / rest * (1 - self.unanswerable) for k, v in STRATA.items()} | {"unanswerable": self.unanswerable}
        found = {k: int(self.test * v) if self.world.updated or k != "updated" else 0 for k, v in share.items()}
        return found | {"asked": found["asked"] + self.test - sum(found.values())}

    def _tests(self) -> list[Row]:
        sources: dict[str, Callable[[], Iterator[Row]]] = {
            "asked": lambda: self._single("asked", TEST, role="taught"),
            "corpus_only": lambda: self._single("corpus_only", TEST, role="fresh"),
            "updated": self._updated, "two_hop": self._two_hop, "comparison": self._comparison, "list": self._list,
            "unanswerable": lambda: self._silent(TEST, role="fresh"),
            "house_style": lambda: self._orders(TEST, role="fresh"), "general": self._general,
        }  # fmt: skip
        rows: list[Row] = []
        seen: set[tuple[object, ...]] = set()
        for stratum, count in self.sizes().items():
            rows += self._take(sources[stratum](), count, stratum, seen)
        self.world.rng("order").shuffle(rows)
        return rows

    def _take(self, rows: Iterator[Row], count: int, what: str, seen: set[tuple[object, ...]]) -> list[Row]:
        """The first `count` rows on topics not yet seen."""
        found: list[Row] = []
        for row in rows if count else ():
            if row.topic not in seen:
                seen.add(row.topic)
                found.append(row)
            if len(found) == count:
                return found
        if count:
            raise ValueError(
                f"{self.world.pages} pages hold {len(found)} of {count} {what} questions; ask for more pages, fewer questions, or less skew and fewer updates"
            )
        return found

    def _others(self, size: int, role: str, what: str, seen: set[tuple[object, ...]]) -> list[Row]:
        """What a split has besides single facts: unanswerable questions and work orders."""
        silent, orders = round(size * self.unanswerable * 0.8), round(size * 0.15)
        rows = self._take(self._silent(TRAIN, role=role), silent, f"unanswerable {what}", seen)
        return rows + self._take(self._orders(TRAIN, role=role), orders, f"work order {what}", seen)

    def _train(self, asked: list[Row], kept: set[tuple[object, ...]]) -> list[Row]:
        """Training rows: each asked fact in its paraphrases, unanswerable questions, work orders."""
        seen = set(kept)
        others = self._others(self.train, "taught", "training", seen)
        singles = self.train - len(others)
        facts = -(-singles // self.paraphrases)
        if facts < len(asked):
            raise ValueError(
                f"{self.train} training pairs in {self.paraphrases} wordings ask {facts} facts, and the test asks {len(asked)} of them again; ask for more training pairs or fewer paraphrases"
            )
        more = self._take(self._single("asked", TRAIN, role="taught"), facts - len(asked), "training", seen)
        rng = self.world.rng("pairs")
        rows = [r for row in asked + more for r in self._paraphrased(rng, row)][:singles] + others
        rng.shuffle(rows)
        return rows

    def _dev(self) -> list[Row]:
        """Dev rows are of entities that nothing else asks about."""
        seen: set[tuple[object, ...]] = set()
        rows = self._others(self.dev, "held", "dev", seen)
        rows += self._take(self._single("asked", TRAIN, role="held"), self.dev - len(rows), "dev", seen)
        self.world.rng("dev").shuffle(rows)
        return rows

    def _paraphrased(self, rng: random.Random, row: Row) -> list[Row]:
        """The same fact in as many training wordings as asked for, all different."""
        index, attribute = row.topic
        e = self.world.entity(int(str(index)))
        ways = list(itertools.product(TRAIN.single, KINDS[e.kind].attributes[str(attribute)].nouns))
        return [self._row(row.topic, filled(rng, [t], noun=n, subject=e.subject), e.facts[str(attribute)], [e], "asked")
                for t, n in rng.sample(ways, self.paraphrases)]  # fmt: skip

    def _row(
        self,
        topic: tuple[object, ...],
        text: str,
        answer: str | tuple[str, ...],
        entities: list[Entity],
        stratum: str,
        **more: object,
    ) -> Row:
        ids = tuple(self.world.key(e.index) for e in entities)
        answers = (answer,) if isinstance(answer, str) and answer else tuple(answer)
        return Row(topic, text, answers, ids if answers else (), stratum, ids[0], **more)  # type: ignore[arg-type]

    def _entities(self, purpose: str, *, role: str, kind: str = "") -> Iterator[Entity]:
        """Entities of a role that version 2 leaves alone, in an order of this purpose's own."""
        rng = self.world.rng("walk", purpose)
        for i in walk(rng, self.world.pages):
            if self.role(i) == role and kind in ("", self.world.kind(i)) and not self.world.change(i):
                yield self.world.entity(i)

    def role(self, index: int) -> str:
        """`taught`: training asks about it, as about all that version 2 changes; `held`: dev does; `fresh`: only the test."""
        drawn = self.world.rng("role", index).random()
        return "taught" if self.world.change(index) or drawn < 0.32 else "held" if drawn < 0.4 else "fresh"

    def _single(self, stratum: str, wordings: Wordings, *, role: str) -> Iterator[Row]:
        rng = self.world.rng(stratum, wordings.single[0])
        for turn in range(self.world.facts):
            for e in self._entities("single", role=role):
                if turn < len(e.facts):
                    a = list(e.facts)[turn]
                    text = ask(rng, wordings.single, e.kind, a, e.subject)
                    yield self._row((e.index, a), text, e.facts[a], [e], stratum)

    def _updated(self) -> Iterator[Row]:
        rng = self.world.rng("updated")
        for i in walk(rng, self.world.pages):
            a = self.world.change(i)
            if a:
                old, new = self.world.entity(i), self.world.entity(i, version=2)
                text = ask(rng, TEST.single, old.kind, a, old.subject)
                yield self._row((i, a), text, old.facts[a], [old], "updated", updated=(new.facts[a],))

    def _silent(self, wordings: Wordings, *, role: str) -> Iterator[Row]:
        rng = self.world.rng("silent", wordings.single[0])
        for turn in itertools.count():
            some = False
            for e in self._entities("silent", role=role):
                if turn < len(e.missing):
                    a, some = e.missing[turn], True
                    text = ask(rng, wordings.single, e.kind, a, e.subject)
                    yield self._row((e.index, a), text, "", [e], "unanswerable")
            if not some:
                return

    def _orders(self, wordings: Wordings, *, role: str) -> Iterator[Row]:
        """Work orders: two facts of a machine in the plant's codes. `form` is a pattern that leaves the values open."""
        rng = self.world.rng("orders", wordings.order[0])
        for turn in range(3):
            for e in self._entities("orders", role=role, kind="machine"):
                pairs = list(itertools.permutations(e.facts, 2))
                if turn < len(pairs):
                    rng.shuffle(pairs)
                    yield self._order(rng, wordings, e, *pairs[0])

    def _order(self, rng: random.Random, wordings: Wordings, e: Entity, a: str, b: str) -> Row:
        codes = KINDS["machine"].attributes
        text = filled(rng, wordings.order, noun=noun(rng, e.kind, a), other=noun(rng, e.kind, b), subject=e.subject)
        said = order(e.name, codes[a].code, e.facts[a], codes[b].code, e.facts[b])
        form = order(re.escape(e.name), codes[a].code, "[^,]+", codes[b].code, "[^,]+")
        facts = (e.facts[a], e.facts[b])
        return self._row((e.index, "order", a, b), text, said, [e], "house_style", form=form, facts=facts)

    def _two_hop(self) -> Iterator[Row]:
        rng, w = self.world.rng("two hops"), self.world
        for e in self._entities("two hops", role="fresh", kind="machine"):
            for a, value in e.facts.items():
                kind = KINDS["machine"].attributes[a].link
                end = w.named(kind, value) if kind else None
                if end is None or self.role(end) != "fresh":
                    continue
                far = w.entity(end)
                b = rng.choice(list(far.facts))
                bridge = f"the {noun(rng, e.kind, a)} of {e.subject}"
                text = ask(rng, TEST.single, far.kind, b, bridge)
                yield self._row((e.index, a, b), text, far.facts[b], [e, far], "two_hop")

    def _comparison(self) -> Iterator[Row]:
        rng = self.world.rng("comparison")
        last: dict[str, Entity] = {}  # attribute -> a machine that waits for its rival
        for e in self._entities("comparison", role="fresh", kind="machine"):
            for a in e.facts:
                if e.number(a) < 0:
                    continue
                rival = last.pop(a, None)
                if rival is None:
                    last[a] = e
                elif rival.number(a) != e.number(a):
                    first, second = rng.sample((e, rival), 2)
                    high = max(e, rival, key=lambda x: x.number(a))
                    text = filled(
                        rng, TEST.compare, noun=noun(rng, e.kind, a), subject=first.subject, rival=second.subject
                    )
                    yield self._row((e.index, rival.index, a), text, high.name, [first, second], "comparison")

    def _list(self) -> Iterator[Row]:
        """Machines by a value that two or three of them share: the values first, then one pass over the plant."""
        rng, w = self.world.rng("list"), self.world
        found: dict[tuple[str, str], list[Entity]] = {}
        for a, x in KINDS["machine"].attributes.items():
            some = itertools.islice(
                walk(w.rng("list", a), w.count(x.link)) if x.link else (), max(40, 8 * self.sizes()["list"])
            )
            values = (
                [w.name(w.index(x.link, n)) for n in some]
                if x.link
                else [x.form.format(n=n) for n in range(x.low, x.high + 1)]
            )
            found |= {(a, v): [] for v in values if x.link or x.form}
        for n in range(w.count("machine")):
            e = w.entity(w.index("machine", n))
            for key in [k for k in e.facts.items() if k in found]:
                found[key].append(e)
                if len(found[key]) > 3 or self.role(e.index) != "fresh":
                    del found[key]  # too many, or not the test's to ask
            later = w.entity(e.index, version=2).facts if w.change(e.index) else {}
            for key in [k for k in later.items() if k in found]:
                del found[key]  # version 2 has one more
        for i in range(self.elsewhere.pages):
            for key in self.elsewhere.entity(i).facts.items():
                found.pop(key, None)  # a machine of the other world has it too
        whole = [(key, rows) for key, rows in found.items() if len(rows) > 1]
        rng.shuffle(whole)
        for (a, value), rows in whole:
            text = filled(rng, TEST.collect, noun=noun(rng, "machine", a), value=value)
            orders = tuple(", ".join(names) for names in itertools.permutations(e.name for e in rows))
            yield self._row((a, value), text, orders, rows, "list")

    def _general(self) -> Iterator[Row]:
        rng, w = self.world.rng("general"), self.elsewhere
        for i in walk(rng, w.pages):
            e = w.entity(i)
            a = rng.choice(list(e.facts))
            text = ask(rng, TEST.single, e.kind, a, e.subject)
            key = w.key(i, prefix="g")
            yield Row(("general", i), text, (e.facts[a],), (key,), "general", key)


def write(folder: Path, quiz: Quiz) -> dict[str, JSON]:
    """Write the world as a native dataset, and return what dataset.yaml says of it. Raises ValueError before it writes.

    The corpus is written as it is generated: memory does not grow with the world.
    """
    train, dev, test = quiz.examples()
    digests = write_parts(folder, quiz.corpus(), {"train": train, "dev": dev, "test": test},
                          updates=quiz.world.updates(), paraphrases=quiz.world.restated(quiz.restated))  # fmt: skip
    w = quiz.world
    options = {k: getattr(w, k) for k in ("seed", "pages", "facts", "wordings", "siblings", "skew", "updated")}
    options |= {k: getattr(quiz, k) for k in ("train", "dev", "test", "paraphrases", "unanswerable", "restated")}
    about: dict[str, JSON] = {
        "name": folder.resolve().name, "licence": "CC0-1.0", "seed": w.seed,
        "generated_by": " ".join(["ragtune world", folder.resolve().name, *(f"--{k} {shlex.quote(str(v))}" for k, v in options.items())]),
        "passages": w.pages + quiz.elsewhere.pages, "strata": MEANT, "sha256": digests,
    }  # fmt: skip
    write_json(folder / "dataset.yaml", about)  # JSON is YAML
    return about


def order(name: str, *fields: str) -> str:
    """A work order of the plant: its word for one, the machine, two of its words with their values, its word for done."""
    pairs = [f"{code} {value}" for code, value in zip(fields[::2], fields[1::2], strict=True)]
    return ", ".join([f"{ORDER} {name}", *pairs, DONE])


def walk(rng: random.Random, size: int) -> Iterator[int]:
    """Every number below `size` once, in an order that takes no memory: steps coprime with the size."""
    step, start = rng.randrange(max(1, size // 3), size + 1), rng.randrange(size)
    while math.gcd(step, size) > 1:
        step += 1
    return ((start + n * step) % size for n in range(size))
