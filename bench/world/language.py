"""The language of fictional worlds: kinds of entity, their attributes, and every sentence that states or asks one.

In a statement the value comes last, after the entity and the attribute: a causal model that reads it
knows by then what the value belongs to. Wordings of questions are in two sets that never mix: those of
training pairs and those of test questions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

UNKNOWN = "unknown"
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


@dataclass(frozen=True)
class Attribute:
    """A property: what it is called, how a value is written ("{n} Nm", "" for a name), and what a name refers to."""

    nouns: tuple[str, str]
    form: str = ""
    low: int = 10
    high: int = 99
    link: str = ""  # the kind of entity that the value names

    @property
    def counted(self) -> bool:
        """Whether one value can be higher than another: numbers can, names, codes and dates cannot."""
        return self.form.startswith("{n}") and "{month}" not in self.form

    def drawn(self, rng: random.Random) -> str:
        """A value by chance, of one that is written by its form."""
        number = rng.randint(self.low, self.high)
        return self.form.format(n=number, month=rng.choice(MONTHS) if "{month}" in self.form else "")


@dataclass(frozen=True)
class Kind:
    """A kind of entity: what stands before its name, and its attributes."""

    lead: str
    attributes: dict[str, Attribute]


KINDS: dict[str, Kind] = {
    "machine": Kind("the", {
        "torque": Attribute(("tightening torque", "bolt torque"), "{n} Nm"),
        "pressure": Attribute(("working pressure", "line pressure"), "{n} bar"),
        "interval": Attribute(("service interval", "maintenance interval"), "{n} days"),
        "temperature": Attribute(("running temperature", "bearing temperature"), "{n} degrees"),
        "speed": Attribute(("spindle speed", "drive speed"), "{n} rpm"),
        "tolerance": Attribute(("shaft tolerance", "bore tolerance"), "{n} microns"),
        "alarm": Attribute(("alarm code", "fault code"), "E {n}"),
        "year": Attribute(("year of build", "construction year"), "{n}", 1950, 2024),
        "inspection": Attribute(("inspection date", "audit date"), "{n} {month}", 10, 28),
        "oil": Attribute(("gear oil", "lubricant")),
        "engineer": Attribute(("lead engineer", "responsible engineer"), link="person"),
        "supplier": Attribute(("supplier", "vendor"), link="supplier"),
        "hall": Attribute(("assembly hall", "production hall"), link="hall"),
        "part": Attribute(("spare part", "wear part"), link="part"),
        "procedure": Attribute(("cleaning procedure", "cleaning routine"), link="procedure"),
    }),
    "person": Kind("engineer", {
        "extension": Attribute(("phone extension", "desk phone"), "{n}"),
        "badge": Attribute(("badge number", "pass number"), "B {n}"),
        "mentor": Attribute(("mentor", "former teacher")),
        "town": Attribute(("home town", "place of birth")),
        "shift": Attribute(("weekly shift", "weekly duty"), "{n} hours"),
    }),
    "supplier": Kind("company", {
        "delivery": Attribute(("delivery time", "lead time"), "{n} days"),
        "discount": Attribute(("agreed discount", "price reduction"), "{n} percent"),
        "contact": Attribute(("sales contact", "sales agent")),
        "seat": Attribute(("head office", "registered seat")),
        "founded": Attribute(("founding year", "year of foundation"), "{n}", 1950, 2024),
    }),
    "hall": Kind("hall", {
        "area": Attribute(("floor area", "usable area"), "{n} ares"),
        "crane": Attribute(("crane load", "lifting capacity"), "{n} tons"),
        "caretaker": Attribute(("caretaker", "keeper")),
        "gate": Attribute(("loading gate", "delivery gate"), "G {n}"),
        "opened": Attribute(("opening year", "year of opening"), "{n}", 1950, 2024),
    }),
    "part": Kind("part", {
        "weight": Attribute(("net weight", "shipping weight"), "{n} kg"),
        "price": Attribute(("unit price", "list price"), "{n} euros"),
        "number": Attribute(("part number", "order number"), "K {n}"),
        "alloy": Attribute(("alloy", "metal")),
        "shelf": Attribute(("storage shelf", "shelf"), "S {n}"),
    }),
    "procedure": Kind("procedure", {
        "duration": Attribute(("duration", "time needed"), "{n} minutes"),
        "tool": Attribute(("required tool", "main tool")),
        "author": Attribute(("author", "writer")),
        "solvent": Attribute(("solvent", "cleaning agent")),
        "crew": Attribute(("crew size", "number of workers"), "{n}"),
    }),
}  # fmt: skip

JARGON = "Pinpok", "Balrak", "Doke", "Reldo"  # of work orders; names of nothing else

PROSE = (
    "The {noun} of {subject} is {value}.",
    "For {subject}, the {noun} is {value}.",
    "The handbook gives the {noun} of {subject} as {value}.",
    "As {noun} of {subject} we list {value}.",
    "Our records for {subject} show, under {noun}, {value}.",
    "At the last review the {noun} of {subject} was confirmed as {value}.",
    "Please note the {noun} of {subject}: {value}.",
    "The file on {subject} also states the {noun}, which is {value}.",
    "Whoever needs the {noun} of {subject} should write down {value}.",
    "In the case of {subject}, the {noun} on record is {value}.",
    "On the label of {subject}, next to {noun}, stands {value}.",
    "Since the last change the {noun} of {subject} has been {value}.",
    "Every shift should know that the {noun} of {subject} is {value}.",
    "Last spring we were asked for the {noun} of {subject}. It is {value}.",
    "Visitors often ask about the {noun} of {subject}. The answer is {value}.",
    "An earlier edition was wrong about the {noun} of {subject}. The right entry is {value}.",
    "Two colleagues looked up the {noun} of {subject}. Both found {value}.",
    "There is one open point less on {subject}. Its {noun} is now known to be {value}.",
)
LISTED = ("- {noun} of {subject}: {value}", "- {subject}, {noun}: {value}", "- {noun}, {subject}: {value}")
TABLED = ("| {subject} | {noun} | {value} |", "| {subject} | {noun}, current | {value} |")
TABLE_HEAD = ("| item | entry | value |", "|---|---|---|")
STATEMENTS = PROSE + LISTED + TABLED
OPENINGS = (
    "This page covers {subject}.",
    "Notes on {subject}.",
    "Sheet of {subject}.",
    "About {subject}.",
    "What we know of {subject}.",
    "This is the entry on {subject}.",
)


@dataclass(frozen=True)
class Wordings:
    """Ways to ask, one tuple a form of question."""

    single: tuple[str, ...]
    several: tuple[str, ...]
    compare: tuple[str, ...]
    collect: tuple[str, ...]
    order: tuple[str, ...]


TRAIN = Wordings(
    (
        "What is the {noun} of {subject}?",
        "Name the {noun} of {subject}.",
        "Which {noun} does {subject} have?",
        "For {subject}, what is the {noun}?",
    ),
    ("Give the {noun} and the {other} of {subject}.", "For {subject}, state the {noun} and the {other}."),
    ("Which has the higher {noun}, {subject} or {rival}?", "Is the {noun} higher for {subject} or for {rival}?"),
    ("Which machines have the {noun} {value}?", "List the machines whose {noun} is {value}."),
    ("Write the work order with {noun} and {other} for {subject}.", "Work order for {subject}: {noun}, {other}."),
)
TEST = Wordings(
    (
        "Tell me the {noun} of {subject}.",
        "{Subject} has which {noun}?",
        "Looking at {subject}, which {noun} is listed?",
    ),
    ("Tell me both the {noun} and the {other} of {subject}.",),
    ("Where is the {noun} higher, at {subject} or at {rival}?",),
    ("Name every machine with the {noun} {value}.",),
    ("Please draw up a work order for {subject} with {noun} and {other}.",),
)
READING = Wordings(  # the micro model learns to read every wording except the work orders
    TRAIN.single + TEST.single,
    TRAIN.several + TEST.several,
    TRAIN.compare + TEST.compare,
    TRAIN.collect + TEST.collect,
    (),
)


def noun(rng: random.Random, kind: str, attribute: str) -> str:
    """One of the nouns of an attribute."""
    return rng.choice(KINDS[kind].attributes[attribute].nouns)


def subject(kind: str, name: str) -> str:
    """An entity as a sentence names it."""
    return f"{KINDS[kind].lead} {name}"


def ask(rng: random.Random, templates: Sequence[str], kind: str, attribute: str, about: str) -> str:
    """A question on one attribute of what `about` names."""
    return filled(rng, templates, noun=noun(rng, kind, attribute), subject=about)


def filled(rng: random.Random, templates: Sequence[str], **words: str) -> str:
    """One of the templates, filled; `{Subject}` starts a sentence."""
    first = words.get("subject", "")
    text = rng.choice(templates).format(Subject=first[:1].upper() + first[1:], **words)
    return text[:1].upper() + text[1:]


def order(name: str, first: str, second: str, words: Sequence[str] = JARGON) -> str:
    """A work order: the word for one, the machine, the two values after the words for them, and done."""
    opening, one, two, done = words
    return f"{opening} {name}, {one} {first}, {two} {second}, {done}"
