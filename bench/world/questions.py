"""A fictional world made a dataset: questions by stratum, each with its gold passages, split without leakage.

Training asks about a part of the plant's entities alone, and every stratum but `asked` and `updated` is about the
others. Training questions and test questions are worded apart.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.core.vocabulary import Example, Passage, Question
from bench.world.language import KINDS, TEST, TRAIN, Wordings, ask, filled, noun, order
from bench.world.world import Entity, World, walk

STRATA = {  # stratum -> its share of the test, in percent
    "asked": 21,
    "corpus_only": 21,
    "updated": 8,
    "two_hop": 10,
    "comparison": 9,
    "list": 3,
    "unanswerable": 15,
    "house_style": 8,
    "general": 5,
}
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
        """The row as an example with an id."""
        return Example(
            Question(f"{split}-{number:05d}", self.text, self.gold),
            self.answers,
            self.stratum,
            self.group,
            split,
            self.updated,
            self.form,
            self.facts,
        )


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
        world = self.world
        object.__setattr__(
            self,
            "elsewhere",
            World(f"{world.seed}/elsewhere", max(30, world.pages // 10), world.facts, world.wordings, side="elsewhere"),
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
            "updated": self._updated,
            "two_hop": self._two_hop,
            "comparison": self._comparison,
            "list": self._list,
            "unanswerable": lambda: self._silent(TEST, role="fresh"),
            "house_style": lambda: self._orders(TEST, role="fresh"),
            "general": self._general,
        }
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
                f"{self.world.pages} pages hold {len(found)} of {count} {what} questions; "
                "ask for more pages, fewer questions, or less skew and fewer updates"
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
                f"{self.train} training pairs in {self.paraphrases} wordings ask {facts} facts, and the test asks "
                f"{len(asked)} of them again; ask for more training pairs or fewer paraphrases"
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
        entity = self.world.entity(int(str(index)))
        ways = list(itertools.product(TRAIN.single, KINDS[entity.kind].attributes[str(attribute)].nouns))
        return [
            self._row(
                row.topic,
                filled(rng, [t], noun=n, subject=entity.subject),
                entity.facts[str(attribute)],
                [entity],
                "asked",
            )
            for t, n in rng.sample(ways, self.paraphrases)
        ]

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
        for index in walk(rng, self.world.pages):
            if self.role(index) == role and kind in ("", self.world.kind(index)) and not self.world.change(index):
                yield self.world.entity(index)

    def role(self, index: int) -> str:
        """Who asks about entity `index`.

        `taught`: training does, as about all that version 2 changes; `held`: dev does; `fresh`: only the test does.
        """
        drawn = self.world.rng("role", index).random()
        if self.world.change(index) or drawn < 0.32:
            return "taught"
        return "held" if drawn < 0.4 else "fresh"

    def _single(self, stratum: str, wordings: Wordings, *, role: str) -> Iterator[Row]:
        rng = self.world.rng(stratum, wordings.single[0])
        for turn in range(self.world.facts):
            for entity in self._entities("single", role=role):
                if turn < len(entity.facts):
                    attribute = list(entity.facts)[turn]
                    text = ask(rng, wordings.single, entity.kind, attribute, entity.subject)
                    yield self._row((entity.index, attribute), text, entity.facts[attribute], [entity], stratum)

    def _updated(self) -> Iterator[Row]:
        rng = self.world.rng("updated")
        for index in walk(rng, self.world.pages):
            attribute = self.world.change(index)
            if attribute:
                old, new = self.world.entity(index), self.world.entity(index, version=2)
                text = ask(rng, TEST.single, old.kind, attribute, old.subject)
                yield self._row(
                    (index, attribute), text, old.facts[attribute], [old], "updated", updated=(new.facts[attribute],)
                )

    def _silent(self, wordings: Wordings, *, role: str) -> Iterator[Row]:
        rng = self.world.rng("silent", wordings.single[0])
        for turn in itertools.count():
            some = False
            for entity in self._entities("silent", role=role):
                if turn < len(entity.missing):
                    attribute, some = entity.missing[turn], True
                    text = ask(rng, wordings.single, entity.kind, attribute, entity.subject)
                    yield self._row((entity.index, attribute), text, "", [entity], "unanswerable")
            if not some:
                return

    def _orders(self, wordings: Wordings, *, role: str) -> Iterator[Row]:
        """Work orders: two facts of a machine in the plant's words. `form` is a pattern that leaves the values open."""
        rng = self.world.rng("orders", wordings.order[0])
        for turn in range(3):
            for entity in self._entities("orders", role=role, kind="machine"):
                pairs = list(itertools.permutations(entity.facts, 2))
                if turn < len(pairs):
                    rng.shuffle(pairs)
                    yield self._order(rng, wordings, entity, *pairs[0])

    def _order(self, rng: random.Random, wordings: Wordings, entity: Entity, first: str, second: str) -> Row:
        text = filled(
            rng,
            wordings.order,
            noun=noun(rng, entity.kind, first),
            other=noun(rng, entity.kind, second),
            subject=entity.subject,
        )
        facts = entity.facts[first], entity.facts[second]
        said, form = order(entity.name, *facts), order(re.escape(entity.name), "[^,]+", "[^,]+")
        return self._row(
            (entity.index, "order", first, second), text, said, [entity], "house_style", form=form, facts=facts
        )

    def _two_hop(self) -> Iterator[Row]:
        rng, world = self.world.rng("two hops"), self.world
        for entity in self._entities("two hops", role="fresh", kind="machine"):
            for attribute, value in entity.facts.items():
                kind = KINDS["machine"].attributes[attribute].link
                end = world.named(kind, value) if kind else None
                if end is None or self.role(end) != "fresh":
                    continue
                far = world.entity(end)
                asked = rng.choice(list(far.facts))
                bridge = f"the {noun(rng, entity.kind, attribute)} of {entity.subject}"
                text = ask(rng, TEST.single, far.kind, asked, bridge)
                yield self._row((entity.index, attribute, asked), text, far.facts[asked], [entity, far], "two_hop")

    def _comparison(self) -> Iterator[Row]:
        rng = self.world.rng("comparison")
        last: dict[str, Entity] = {}  # attribute -> a machine that waits for its rival
        for entity in self._entities("comparison", role="fresh", kind="machine"):
            for attribute in entity.facts:
                if entity.number(attribute) < 0:
                    continue
                rival = last.pop(attribute, None)
                if rival is None:
                    last[attribute] = entity
                elif rival.number(attribute) != entity.number(attribute):
                    first, second = rng.sample((entity, rival), 2)
                    high = max(entity, rival, key=lambda x: x.number(attribute))
                    text = filled(
                        rng,
                        TEST.compare,
                        noun=noun(rng, entity.kind, attribute),
                        subject=first.subject,
                        rival=second.subject,
                    )
                    yield self._row(
                        (entity.index, rival.index, attribute), text, high.name, [first, second], "comparison"
                    )

    def _list(self) -> Iterator[Row]:
        """Machines by a value that two or three of them share: the values first, then one pass over the plant."""
        rng, world = self.world.rng("list"), self.world
        found: dict[tuple[str, str], list[Entity]] = {}
        for attribute, declared in KINDS["machine"].attributes.items():
            some = itertools.islice(
                walk(world.rng("list", attribute), world.count(declared.link)) if declared.link else (),
                max(40, 8 * self.sizes()["list"]),
            )
            values = (
                [world.name(world.index(declared.link, n)) for n in some]
                if declared.link
                else [declared.form.format(n=n) for n in range(declared.low, declared.high + 1)]
                if "{month}" not in declared.form
                else []
            )
            found |= {(attribute, v): [] for v in values if declared.link or declared.form}
        for ordinal in range(world.count("machine")):
            entity = world.entity(world.index("machine", ordinal))
            for key in [k for k in entity.facts.items() if k in found]:
                found[key].append(entity)
                if len(found[key]) > 3 or self.role(entity.index) != "fresh":
                    del found[key]  # too many, or not the test's to ask
            later = world.entity(entity.index, version=2).facts if world.change(entity.index) else {}
            for key in [k for k in later.items() if k in found]:
                del found[key]  # version 2 has one more
        for index in range(self.elsewhere.pages):
            for key in self.elsewhere.entity(index).facts.items():
                found.pop(key, None)  # a machine of the other world has it too
        whole = [(key, rows) for key, rows in found.items() if len(rows) > 1]
        rng.shuffle(whole)
        for (attribute, value), rows in whole:
            text = filled(rng, TEST.collect, noun=noun(rng, "machine", attribute), value=value)
            orders = tuple(", ".join(names) for names in itertools.permutations(e.name for e in rows))
            yield self._row((attribute, value), text, orders, rows, "list")

    def _general(self) -> Iterator[Row]:
        rng, world = self.world.rng("general"), self.elsewhere
        for index in walk(rng, world.pages):
            entity = world.entity(index)
            attribute = rng.choice(list(entity.facts))
            text = ask(rng, TEST.single, entity.kind, attribute, entity.subject)
            key = world.key(index, prefix="g")
            yield Row(("general", index), text, (entity.facts[attribute],), (key,), "general", key)
