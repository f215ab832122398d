"""Streams of reading exercises from worlds that are never evaluated: what the micro models learn from."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.world.language import (
    KINDS,
    READING,
    STATEMENTS,
    TEST,
    TRAIN,
    UNKNOWN,
    ask,
    filled,
    noun,
    order,
    subject,
)
from bench.world.world import Entity, World, words
from systems.micro.together import PAGES, every, neighbours, retrieved

Turn = tuple[str, str]  # question, answer
Step = tuple[str, str]  # a name in the question, and what its page says of what has been asked of it so far
FORMS = {  # of questions, in percent; `told` compares two values that the question itself states
    "single": 33,
    "missing": 10,
    "absent": 5,
    "two_hop": 15,
    "several": 4,
    "compare": 16,
    "told": 5,
    "collect": 7,
    "draw": 5,
}
DOUBTFUL = {  # the same with more of what is to be answered by "unknown"
    "single": 30,
    "missing": 20,
    "absent": 11,
    "two_hop": 10,
    "several": 4,
    "compare": 12,
    "told": 3,
    "collect": 6,
    "draw": 4,
}
SETTLED = {  # and in the end about as much as a dataset has
    "single": 40,
    "missing": 12,
    "absent": 7,
    "two_hop": 11,
    "several": 4,
    "compare": 13,
    "told": 1,
    "collect": 7,
    "draw": 5,
}
BY_NAME = {"single": 42, "absent": 6, "compare": 32, "told": 10, "collect": 10}
COMPARED = {"single": 12, "compare": 88}
DOCUMENTS = (  # that are written in a form of their own, as a work order is in a plant's; none of them is one
    "shift report", "test slip", "delivery note", "repair form",
    "safety card", "stock ticket", "visitor pass", "day log",
)  # fmt: skip
DRAWN = tuple(  # as one asks for a work order
    t.replace("work order", "{document}").replace("Work order", "{Document}") for t in TRAIN.order + TEST.order
)


@dataclass(frozen=True)
class Exercise:
    """Passages and the questions asked about them, in turn. Every answer stands in a passage, or is "unknown".

    `steps` are those of each turn: what is found on the way to its answer.
    """

    passages: tuple[str, ...]
    turns: tuple[Turn, ...]
    steps: tuple[tuple[Step, ...], ...]

    @property
    def is_answered(self) -> bool:
        """Whether its first question has an answer in the passages."""
        return bool(self.turns) and self.turns[0][1] != UNKNOWN


@dataclass(frozen=True)
class Asked:
    """A question on `about`, its answer, and what is found on the way to it."""

    about: tuple[str, ...]
    question: str
    answer: str
    steps: tuple[Step, ...] = ()


def exercise(seed: str, *, passages: int, turns: int, forms: Mapping[str, int] = FORMS, alike: str = "") -> Exercise:
    """Handbook pages in any order, many of them hard distractors of one another, and questions on them.

    `forms` is how often each form of question is asked. `alike` is the seed of a world of which pages are shown
    that a search finds together.
    """
    rng = random.Random(f"{seed}/exercise")
    world = World(alike or seed, PAGES, side="training")
    shown = retrieved(rng, world, passages) if alike else neighbours(rng, world, passages)
    rng.shuffle(shown)
    desk = Desk(rng, world, [world.entity(i) for i in shown], forms)
    return desk.exercise(tuple(world.text(i) for i in shown), turns)


def loose(seed: str, *, statements: int, turns: int) -> Exercise:
    """Single statements on few entities with the same attributes, in one passage.

    Nothing of its length is harder to tell apart.
    """
    rng = random.Random(f"{seed}/loose")
    world = World(seed, PAGES, side="training", facts=rng.randint(2, 4))
    shown = neighbours(rng, world, max(2, statements // 2))
    entities = [world.entity(i) for i in shown]
    stated = [(e, a) for e in entities for a in e.facts]
    stated = rng.sample(stated, min(statements, len(stated)))
    cut = [Entity(e.index, e.kind, e.name, {a: e.facts[a] for x, a in stated if x is e}, e.missing) for e in entities]
    lines = [filled(rng, STATEMENTS, noun=noun(rng, e.kind, a), subject=e.subject, value=e.facts[a]) for e, a in stated]
    return Desk(rng, world, [e for e in cut if e.facts], FORMS).exercise(("\n".join(lines),), turns)


def alike_but_for_the_name(seed: str, *, statements: int, turns: int, forms: Mapping[str, int] = BY_NAME) -> Exercise:
    """Single statements of one attribute of entities of one kind: nothing but the name tells them apart."""
    rng = random.Random(f"{seed}/alike")
    world = World(seed, PAGES, side="training")
    kind = rng.choice(list(KINDS))
    attribute = rng.choice(list(KINDS[kind].attributes))
    having = [e for e in every(world, kind) if attribute in e.facts]
    shown = rng.sample(having, min(statements, len(having)))
    cut = [Entity(e.index, e.kind, e.name, {attribute: e.facts[attribute]}, e.missing) for e in shown]
    named = [(noun(rng, kind, attribute), e) for e in cut]
    lines = [filled(rng, STATEMENTS, noun=n, subject=e.subject, value=e.facts[attribute]) for n, e in named]
    return Desk(rng, world, cut, forms).exercise(("\n".join(lines),), turns)


def scales(seed: str, *, turns: int) -> Exercise:
    """No passage, and questions which of two values that they state is higher."""
    rng = random.Random(f"{seed}/scales")
    world = World(seed, PAGES, side="training")
    known = [e for e in map(world.entity, rng.sample(range(PAGES), 60)) if any(e.number(a) >= 0 for a in e.facts)]
    return Desk(rng, world, known, {"told": 1}).exercise((), turns)


@dataclass(frozen=True)
class Desk:
    """Asks about the entities on it, and knows the right answers."""

    rng: random.Random
    world: World
    entities: list[Entity]
    forms: Mapping[str, int]  # how often each is asked

    def exercise(self, passages: tuple[str, ...], turns: int) -> Exercise:
        """The passages with so many questions on them."""
        asked = list(self.asked(turns))
        return Exercise(passages, tuple((a.question, a.answer) for a in asked), tuple(a.steps for a in asked))

    def asked(self, count: int) -> Iterator[Asked]:
        """`count` questions that differ; fewer where none can be found."""
        seen: set[tuple[str, ...]] = set()
        tries = 0
        while count and tries < 200:
            tries += 1
            found = self._turn()
            if found and found.about not in seen:
                seen.add(found.about)
                count -= 1
                yield found

    def _turn(self) -> Asked | None:
        if not self.entities:
            stranger = self.world.entity(self.rng.randrange(PAGES))
            return self._single(stranger, self.rng.choice([*stranger.facts, *stranger.missing]), UNKNOWN)
        entity = self.rng.choice(self.entities)
        match self.rng.choices(list(self.forms), list(self.forms.values()))[0]:
            case "single":
                attribute = self.rng.choice(list(entity.facts))
                return self._single(entity, attribute, entity.facts[attribute])
            case "missing":
                return self._single(entity, self.rng.choice(entity.missing), UNKNOWN)
            case "absent":
                return self._absent(entity)
            case "two_hop":
                return self._two_hop()
            case "several":
                return self._several(entity)
            case "compare" | "told" as form:
                return self._compare(told=form == "told")
            case "draw":
                return self._draw(entity)
            case _:
                return self._collect()

    def _ask(
        self,
        about: tuple[str, ...],
        templates: tuple[str, ...],
        answer: str,
        steps: tuple[Step, ...] = (),
        **words: str,
    ) -> Asked:
        """A question. A step is kept where what is asked stands before the name that it is asked of."""
        question = filled(self.rng, templates, **words)
        known = question.find(words["noun"])
        return Asked(about, question, answer, tuple(s for s in steps if known < question.find(s[0])))

    def _single(self, entity: Entity, attribute: str, answer: str) -> Asked:
        return self._ask(
            (entity.name, attribute),
            READING.single,
            answer,
            ((entity.name, answer),),
            noun=noun(self.rng, entity.kind, attribute),
            subject=entity.subject,
        )

    def _absent(self, entity: Entity) -> Asked | None:
        """A machine of the right name and another number, or of another name; its page is not shown."""
        name = (
            entity.name.split()[0] if self.rng.random() < 0.6 else self.world.word("machine", self.rng.randrange(900))
        )
        name = f"{name} {self.rng.randint(10, 99)}"
        if entity.kind != "machine" or name in {o.name for o in self.entities}:
            return None
        attribute = self.rng.choice(list(entity.facts))
        return self._ask(
            (name, attribute),
            READING.single,
            UNKNOWN,
            ((name, UNKNOWN),),
            noun=noun(self.rng, "machine", attribute),
            subject=subject("machine", name),
        )

    def _two_hop(self) -> Asked | None:
        on = {(e.kind, e.name): e for e in self.entities}
        ways = [(e, a, kind) for e in self.entities for a in e.facts if (kind := KINDS[e.kind].attributes[a].link)]
        whole = [w for w in ways if (w[2], w[0].facts[w[1]]) in on]
        if not ways or (not whole and self.rng.random() < 0.7):
            return None
        entity, first, kind = self.rng.choice(whole if whole and self.rng.random() < 0.9 else ways)
        end = on.get((kind, entity.facts[first]))
        second = self.rng.choice(list(end.facts if end and self.rng.random() < 0.93 else KINDS[kind].attributes))
        bridge = f"the {noun(self.rng, entity.kind, first)} of {entity.subject}"
        answer = end.facts.get(second, UNKNOWN) if end else UNKNOWN
        question = ask(self.rng, READING.single, kind, second, bridge)
        return Asked((entity.name, first, second), question, answer, ((entity.name, entity.facts[first]),))

    def _several(self, entity: Entity) -> Asked | None:
        if len(entity.facts) < 2:
            return None
        first, second = self.rng.sample(list(entity.facts), 2)
        return self._ask(
            (entity.name, first, second),
            READING.several,
            f"{entity.facts[first]}, {entity.facts[second]}",
            noun=noun(self.rng, entity.kind, first),
            other=noun(self.rng, entity.kind, second),
            subject=entity.subject,
        )

    def _compare(self, *, told: bool) -> Asked | None:
        ways = [
            (x, y, a)
            for x in self.entities
            for y in self.entities
            for a in x.facts
            if x.name != y.name and x.kind == y.kind and a in y.facts and x.number(a) > y.number(a) >= 0
        ]
        if not ways:
            return None
        high, low, attribute = self.rng.choice(ways)
        pair = self.rng.sample((high, low), 2)
        named = [f"{e.facts[attribute]} at {e.subject}" if told else e.subject for e in pair]
        return self._ask(
            (high.name, low.name, attribute),
            READING.compare,
            high.name,
            tuple((e.name, e.facts[attribute]) for e in pair),
            noun=noun(self.rng, high.kind, attribute),
            subject=named[0],
            rival=named[1],
        )

    def _draw(self, entity: Entity) -> Asked | None:
        """A document in its own form of words, with two facts in the order asked for."""
        if entity.kind != "machine" or len(entity.facts) < 2:
            return None
        document = self.rng.choice(DOCUMENTS)
        first, second = self.rng.sample(list(entity.facts), 2)
        return self._ask(
            (document, entity.name, first, second),
            DRAWN,
            order(entity.name, entity.facts[first], entity.facts[second], words_of(document)),
            document=document,
            Document=document.capitalize(),
            noun=noun(self.rng, "machine", first),
            other=noun(self.rng, "machine", second),
            subject=entity.subject,
        )

    def _collect(self) -> Asked | None:
        machines = [e for e in self.entities if e.kind == "machine"]
        ways = [(a, v) for e in machines for a, v in e.facts.items()]
        if not ways:
            return None
        attribute, value = self.rng.choice(ways)
        named = [e.name for e in machines if e.facts.get(attribute) == value]
        return self._ask(
            (attribute, value),
            READING.collect,
            ", ".join(named),
            noun=noun(self.rng, "machine", attribute),
            value=value,
        )


def words_of(document: str) -> list[str]:
    """The words that a document is written in, as a work order is in a plant's."""
    return random.Random(document).sample(words("training"), 4)


def triplets(seed: str, count: int) -> Iterator[tuple[str, str, str]]:
    """(question, the page that answers it, a page that is easily taken for it) on `count` entities of one world."""
    rng = random.Random(f"{seed}/triplets")
    world = World(seed, PAGES, side="training")
    for index in rng.sample(range(PAGES), count):
        entity = world.entity(index)
        sibling = world.index("machine", world.ordinal(index) ^ 1) if entity.kind == "machine" else PAGES
        wrong = sibling if sibling < PAGES else (index + rng.randrange(1, PAGES)) % PAGES
        question = filled(
            rng, READING.single, noun=noun(rng, entity.kind, rng.choice(list(entity.facts))), subject=entity.subject
        )
        yield question, world.text(index), world.text(wrong)
