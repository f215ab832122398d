"""Whether an answer abstains: says that it does not know, or that the passages do not say. Pure functions.

The first sentence decides; what a model adds after it does not change that, unless it goes on to answer after all. The
phrases of a spec, in any language, are looked for beside the English ones here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from bench.core.normalisation import QUOTES, normalise

_SOURCE = (
    r"(?:the |any of the |these |this |those |your |my |given |provided |available |retrieved |supplied |above )*"
    r"(?:context|contexts|passage|passages|document|documents|text|texts|source|sources|info(?:rmation)?|"
    r"article|articles|excerpt|excerpts|snippet|snippets|content|material|materials|data|question|corpus|"
    r"knowledge base)"
    r"(?: (?:\d+|\[\d+\]))?(?: (?:provided|given|above|available|i have|you provided|you gave)){0,2}"
)
_NOT = r"(?:do|does|did) ?(?:not|n't)"
_SAY = (
    r"(?:explicitly |specifically |directly |clearly |seem to |appear to |actually )*(?:contain|provide|"
    r"mention|specify|include|say|state|give|answer|indicate|tell|discuss|address|cover|reveal|offer|"
    r"describe|list)"
)
_OFFERED = (  # what a document may not give for all that it answers: "this document does not provide legal advice"
    r"(?:(?!and\b|nor\b|of\b)[\w-]+ ){0,4}?(?:advice|warrant(?:y|ies)|guarantees?|assurances?|endorsements?|"
    r"refunds?|licen[cs]es?|rights?|consent|permission|liability)\b"
    r"(?! (?:of|for|in|on|about|period|number|terms?|conditions?)\b)"
)
_WITHHELD = (
    r"(?:answer|determine|find|provide|say|tell|locate|give|identify|confirm|be determined|be answered|"
    r"be found|respond|verify)"
)
_NO_EVIDENCE = (
    r"(?:(?:\bno|\binsufficient|(?:\bnot|n't) (?:enough|sufficient|any)) "
    r"(?:direct |clear |supporting |explicit |specific |relevant |such )?evidence)"
)
_ENGLISH = re.compile(
    "|".join(
        (
            rf"\bi (?:really |simply |honestly )?{_NOT} (?:know|have (?:(?:the |any |enough |sufficient |that |"
            rf"access to )+)?(?:info(?:rmation)?|data|knowledge|details|context|an answer|answer))\b",
            r"\bi(?: am|'m) (?:not sure|unsure|not aware|not certain|not able to|unable to)\b",
            rf"\b(?:i|we) (?:cannot|can't|can not|could not|couldn't|am unable to|was unable to) {_WITHHELD}\b",
            rf"\b(?:cannot|can't|can not|could not|couldn't) (?:be )?{_WITHHELD}(?:ed|d)?\b.*",
            rf"^(?:unable|not able) to {_WITHHELD}\b",
            rf"{_SOURCE} {_NOT} {_SAY}\b(?! (?:him|her|them|me)\b|(?<!tell) us\b| {_OFFERED})",
            rf"{_SOURCE} (?:never|fails? to|failed to|neglects? to) {_SAY}s?\b",
            rf"^(?:no|neither(?: of)?) {_SOURCE} {_SAY}s?\b",
            rf"^(?:unknown|unclear|unanswerable|not answerable) (?:based on|from|given|according to) {_SOURCE}\W*$",
            r"^(?:the |this |that )?(?:required |relevant |requested )?info(?:rmation)? (?:is|was) "
            r"(?:missing|absent|lacking)\W*$",
            rf"\bi {_NOT} have access to (?:that|this|it)\b",
            rf"^(?:it|this|they) {_NOT} (?:say|mention|specify|state|tell)\b",
            r"^(?:no one|nobody) knows\b",
            r"\bwe (?:really |simply |honestly )?(?:do|did) ?(?:not|n't) know\b",
            r"^it(?: is|'s) (?:unclear|not clear|not known|unknown)"
            r"(?:\W*$| (?:who|what|when|where|why|how|whether|which)\b)",
            r"\b(?:is|are|was|were)(?: not|n't) (?:covered|discussed|described|mentioned) (?:here|there)\W*$",
            rf"{_SOURCE} (?:is|are) (?:not sufficient|insufficient|silent|not enough)\b",
            rf"\bnone of {_SOURCE} {_SAY}s?\b",
            r"\bno (?:relevant |specific |such |further )?(?:info(?:rmation)?|mention|answer|data|details|detail|"
            r"reference|indication)"
            r"(?: (?:(?:is|was|are|were|can be|could be|has been|have been) (?:\w+ )?(?:provided|given|available|found|"
            r"made|mentioned|present|included|determined|supplied|stated)|exists?\b)"
            r"| (?:about|on|of|regarding|for|in|to)\b| (?:provided|given|available|found|mentioned)|$)",
            r"\bno context (?:(?:is|was|has been) )?(?:provided|given|available)\b|^no context\W*$",
            r"\b(?:there (?:is|was) (?:no|insufficient)|there's (?:no|not enough|not any|insufficient)|"
            r"there (?:is not|was not|isn't|wasn't) (?:enough|sufficient|any)) (?:\w+ )?(?:info(?:rmation)?|"
            r"mention|answer|data|details|detail|context|indication)\b(?! (?:switch|window|loss))",
            r"^(?:not enough|insufficient) (?:info(?:rmation)?|data|context)\b(?! (?:desk|"
            r"technology|centre|center|booth|system))",
            # "no evidence of a difference" is what a study found; that a text has none to answer by is no answer
            rf"{_NO_EVIDENCE}(?: (?:is|was) (?:provided|given|available|presented|found))? (?:in|from) {_SOURCE}"
            r"(?:\W*$| (?:about|on|of|for|to|that|regarding)\b)",
            rf"{_NO_EVIDENCE} (?:of|for|about|on) (?:this|that|it)\W*$",
            rf"{_NO_EVIDENCE} (?:is|was) (?:provided|given|available|presented)\W*$",
            rf"{_NO_EVIDENCE} to (?:answer|determine|say|tell|decide|know|support)"
            r"(?: (?:this|that|it|(?:the|this|that|your) question|(?:the|an|any) answer))?\W*$",
            rf"^(?:there (?:is|was|is not|isn't) |i (?:see|find|found|have) )?{_NO_EVIDENCE}\W*$",
            r"\b(?:is|are|was|were)(?: not|n't| never) (?:explicitly |specifically |directly |"
            r"clearly )?(?:mentioned|specified|provided|stated|given|known|available|disclosed|included|discussed|"
            r"described|clear|listed|answerable|indicated|addressed)"
            rf"(?: (?:in|by|from) {_SOURCE})?\W*$",
            rf"\b(?:is|are|was|were)(?: not|n't| never) (?:explicitly |specifically |directly |"
            rf"clearly )?(?:mentioned|specified|provided|stated|given|available|disclosed|included|discussed|"
            rf"described|listed|indicated|addressed|covered|found) (?:anywhere )?(?:in|by) {_SOURCE}",
            r"\b(?:is|are|remains|remain) (?:unknown|unanswerable|undisclosed|unclear)\W*$",
            rf"^(?:not|nothing) (?:mentioned|specified|provided|stated|given|known|available|found|disclosed|"
            rf"answerable|in|about it in)\b(?: (?:in|by) {_SOURCE})?\W*$",
            rf"^not in {_SOURCE}\W*$",
            r"\b(?:that|it|this|which) (?:info(?:rmation)? )?is (?:beyond|outside) (?:my|the scope|what)\b",
            r"\b(?:it is|it's|that is|that's) (?:impossible|not possible) to (?:answer|determine|say|tell|know)\b",
            r"\bi have no (?:info(?:rmation)?|idea|knowledge|data|record|way of knowing)\b",
            r"^(?:no idea|beats me|no clue)\b",
            r"^i(?: can't| cannot| can not|'m unable to| am unable to| am not able to) (?:help|assist)(?: you)?"
            r"(?: with (?:that|this)(?: \w+)?)?\W*$",
            r"^(?:it )?(?:does not|doesn't) say\W*$",
            rf"\b(?:is|are|was|were)(?: not|n't) (?:in|within|part of|among) {_SOURCE}\W*$",
            rf"^nothing in {_SOURCE} {_SAY}s?\b",
            r"\bi have (?:insufficient|not enough|no) (?:info(?:rmation)?|data|context)\b",
            r"^(?:the )?(?:info(?:rmation)?|answer|data|details?)(?: is| are)? not "
            r"(?:available|provided|given|found|stated)\W*$",
            rf"^no (?:relevant |matching |such )?{_SOURCE} (?:is|are|was|were)? ?(?:found|available|provided)\W*$",
            rf"\bi (?:do not|don't|did not|didn't|cannot|can't) see "
            rf"(?:that|the|this|any) (?:\w+ )?(?:in|among) {_SOURCE}\W*$",
        )
    )
)
# what one of them must hold: most answers hold none, and are told in a microsecond
_CUE = re.compile(
    r"n't|\bno|not\b|\bun(?:able|sure|known|clear|answerable|disclosed)|insufficient|silent|\b(?:beyond|outside)\b|"
    r"impossible|\bnever\b|\bfail|\bneglects? to\b|\bbeats me\b|\bneither\b|\b(?:missing|absent|lacking)\b"
)
_SHORT = {
    "unknown",
    "unanswerable",
    "unclear",
    "don't know",
    "dont know",
    "do not know",
    "no info",
    "na",
    "n/a",
    "not applicable",
    "no answer",
    "idk",
    "none given",
    "not known",
    "undetermined",
}
_ELSEWHERE = (  # how it is said in other languages, beside what a spec names
    *(
        "ich wei\u00df es nicht",
        "ich wei\u00df nicht",
        "wei\u00df ich nicht",
        "das wei\u00df ich nicht",
        "unbekannt",
        "keine angabe",
    ),
    *(
        "je ne sais pas",
        "je l'ignore",
        "inconnu",
        "no lo s\u00e9",
        "no s\u00e9",
        "desconocido",
        "non lo so",
        "sconosciuto",
    ),
    *(
        "n\u00e3o sei",
        "desconhecido",
        "ik weet het niet",
        "dat weet ik niet",
        "onbekend",
        "jag vet inte",
        "nie wiem",
        "nev\u00edm",
    ),
    *(
        "bilmiyorum",
        "\u043d\u0435 \u0437\u043d\u0430\u044e",
        "\u044f \u043d\u0435 \u0437\u043d\u0430\u044e",
        "\u043d\u0435\u0438\u0437\u0432\u0435\u0441\u0442\u043d\u043e",
    ),
    *(
        "\u4e0d\u77e5\u9053",
        "\u6211\u4e0d\u77e5\u9053",
        "\u672a\u77e5",
        "\u65e0\u6cd5\u56de\u7b54",
        "\u5206\u304b\u308a\u307e\u305b\u3093",
        "\u308f\u304b\u308a\u307e\u305b\u3093",
        "\u4e0d\u660e",
    ),
    *(
        "\ubaa8\ub974\uaca0\uc2b5\ub2c8\ub2e4",
        "\u0644\u0627 \u0623\u0639\u0631\u0641",
        "\u0644\u0627 \u0623\u0639\u0644\u0645",
    ),
)
_LEAD = re.compile(
    r"^(?:(?:i(?:'m| am) )?(?:very |so |really )?sorry[,.!]?(?: but)?|i apologi[sz]e[,.]?(?: but)?|"
    r"unfortunately,?|answer:|"
    r"as an ai(?: language model)?,?|hmm+[,.]?|well,?|(?:based on|according to|from|given) [^,]{3,60},)\s*"
)
_AFTER_ALL = re.compile(
    r"\b(?:but|however|though|still|that said)\b[^.]{0,40}?\b(?:i think|i believe|i would (?:say|guess)|"
    r"i'd (?:say|guess)|my (?:best )?guess|"
    r"it (?:is|might be|may be|could be|should be) (?:probably|likely|most likely)|probably|most likely|"
    r"perhaps it|it (?:might|may|could) be|the answer is(?! not\b| un\w+\b| nowhere\b| missing\b))\b"
    r"|\b(?:but|however|aber|mais|pero|ma|maar|mas),? (?:about |around |roughly |maybe |perhaps |it is |it's )*\d"
    r"|; (?:it|the \w+) is\b[^.]*\d"
)
# "not explicitly, but it is 14 rpm": what follows answers
_HEDGED = re.compile(
    r"\b(?:for (?:certain|sure)|exactly|explicitly|directly|precisely|specifically|definitively)\b"
    r"(?:[.;,:]| but\b)(?: but\b)? ?(?:(?:the )?\w+(?:'s| is| was| are| were) [^.]*\d|\d|[^.]*\bit follows that\b)"
)
_BEFORE_ALL = re.compile(r"\d[^,;]*[,;-]\s*$")  # "14 rpm, I am not sure" has answered
_END = re.compile(r"(?<=[.!?])\s+|\n|(?<=[\u3002\uff01\uff1f\u0964])")


def abstains(answer: str, phrases: Sequence[str] = ()) -> bool:
    """Whether the answer abstains. An empty answer does not: it says nothing.

    `phrases` abstain where they are the whole answer or its first sentence; of two words or more, also where they
    start it.
    """
    return _abstains(answer, tuple(phrases))


@lru_cache(1 << 17)  # several measures ask of one answer, and the verdict asks again of all
def _abstains(answer: str, phrases: tuple[str, ...]) -> bool:
    plain = " ".join(answer.translate(QUOTES).lower().split())
    bare = _bare(plain)
    if not normalise(bare):
        return False
    first = _END.split(bare, 1)[0]
    for language, whole, starts in _spoken(phrases):
        if language != "en" and first.isascii():  # its phrases are not
            continue
        spoken = normalise(first, language)
        if spoken in whole or f"{spoken} ".startswith(starts):
            return not _goes_on(bare)
    if first.strip(" .!'\"*()[]") in _SHORT:
        return True
    said = first.strip(' .!"*')
    found = _CUE.search(said) and _ENGLISH.search(said)
    return bool(found and not _BEFORE_ALL.search(said[: found.start()])) and not _goes_on(bare)


def _goes_on(bare: str) -> bool:
    """Whether it answers after all."""
    return bool(_AFTER_ALL.search(bare) or _HEDGED.search(bare))


@lru_cache(64)
def _spoken(phrases: tuple[str, ...]) -> list[tuple[str, frozenset[str], tuple[str, ...]]]:
    """(language, phrases as its normalisation leaves them, the beginnings that those of several words make)."""
    by_language: dict[str, set[str]] = {}
    for phrase in (*phrases, *_ELSEWHERE):
        written = phrase.translate(QUOTES).lower()
        language = "en" if written.isascii() else "other"  # which keeps the signs of other scripts apart from words
        by_language.setdefault(language, set()).add(normalise(written, language))
    return [
        (language, frozenset(of - {""}), tuple(f"{phrase} " for phrase in sorted(of) if " " in phrase))
        for language, of in by_language.items()
    ]


def _bare(text: str) -> str:
    """The text without what leads up to an answer."""
    text = text.lstrip(" \"'*([")
    while (shorter := _LEAD.sub("", text)) != text:
        text = shorter
    return text
