"""Abstention on labelled phrasings: how models say that they do not know, and answers that sound like it."""

from __future__ import annotations

import pytest

from bench.metrics.abstention import abstains

REFUSALS = """\
No one knows who built it
It does not say who built it.
We don't know.
It's unclear.
It is not clear who built it.
No passage mentions this.
This isn't covered here.
The document fails to mention it
The passages never mention the torque.
Nobody knows.
unknown
Unknown.
I don't know.
I don’t know.
I do not know.
I do not know the answer to that question.
I really don't know.
I'm not sure.
I’m not sure about that.
I am unable to answer this question.
I cannot answer this question based on the provided context.
I can't answer that.
I can't find that in the passages.
I could not find any information about this pump.
I couldn't find an answer in the given documents.
I'm sorry, but I don't have enough information to answer.
Sorry, I do not have that information.
I apologize, but the passages do not mention it.
Unfortunately, the context does not provide this information.
Unfortunately, I do not have access to the data.
The context does not contain the answer.
The passages do not mention the torque of the valve.
The provided passages don't specify when it was built.
The text doesn't say.
The document does not explicitly state who approved it.
The given information does not include the price.
The article does not mention this. It only discusses the turbine.
Based on the provided passages, it is not possible to determine the answer.
Based on the context, the answer is unknown.
According to the documents, this is not specified.
There is no information about this in the context.
There is not enough information to answer the question.
There is insufficient information in the passages.
There's no mention of a second engine.
No information is provided about the supplier.
No relevant information was found.
No answer.
No mention of it.
Not enough information.
Insufficient information.
Not mentioned.
Not specified in the text.
Not stated.
Not provided.
Not available.
Not given in the passages.
Not in the passages.
N/A
The answer cannot be determined from the passages.
This cannot be determined.
It cannot be determined from the given context.
The date is not mentioned in the passages.
The name of the engineer is not provided.
The maximum pressure is not specified in the document.
Its weight is not given.
The supplier is not disclosed.
It is not known.
It is unknown.
The exact date remains unclear.
None of the passages mention the inspector.
None of the documents provide the answer.
It's impossible to say from the text.
I have no information on that.
I have no idea.
No idea.
Unanswerable
The question cannot be answered with the information given.
As an AI language model, I do not have access to this.
We cannot determine this from the sources.
I'm unable to find the answer in the provided text.
I am not aware of such a device.
Answer: unknown
"I don't know."
The passages are silent on this.
The information provided is insufficient to answer the question.
It does not say.
Unable to determine from the context.
That is outside the scope of the documents.
I don't have knowledge of that pump.
I do not have sufficient data to say.
""".splitlines()

ANSWERS = """\
9 Nm
Paris
Unknown Pleasures
The Unknown Soldier
unknown valve
yes
no
No.
maybe
No, it was built in 1976.
No information desk is open after six.
Information desk
the
...
None
Zero
Not before 1976
Not the pump but the valve
Nobody
No one
The answer is 42.
I know: it is the turbine.
I think it is Paris.
I believe the pump was built in 1990.
It is not the pump, it is the valve.
The pump does not run on Sundays.
The machine cannot be started without a key.
The valve is not available in steel.
It is not sold in Germany.
Smoking is not permitted in hall 3.
The engine was not built in 1976 but in 1977.
The inspector could not attend the test.
The report does not take effect before May.
The report gives 15 bar.
The document states that the pump runs at 14 rpm.
The passages mention Ms Ito.
The text says that it is 9 Nm.
According to passage 2, the supplier is Arco.
Based on the context, the torque is 9 Nm.
I don't know, but I think it is Paris.
I am not certain; however, it is probably 9 Nm.
The passages do not say, but the answer is 15 bar by the plate.
It cannot exceed 9 bar.
He cannot be reached before Monday.
Without a permit the hall may not be entered.
There is no second engine.
There are no pumps in hall 4.
There is a mention of it in the manual.
No supplier other than Arco
No. 5
Nothing but water
Not applicable law, but the contract decides.
The author is anonymous.
The cause was an unknown fault in the relay.
An unknown person called at six.
It is known as the Resini 63.
The information is in section 4.
The data sheet lists 14 rpm.
It is given in bar.
The price is 40 EUR.
Sorry state of the bearings
Unfortunately yes
Well 7
The well-known engineer Ito
A lack of lubrication
Insufficient lubrication
Missing seals
Because the context switch takes 9 ms.
Context menu
The context manager closes the file.
The question mark key
The source does not need power.
These passages lead to hall 3.
The data is encrypted.
Texts by hand
The material does not rust.
I am able to confirm that it is closed.
It is unclear water that damages the pump.
I don't know the exact number, but about 14 rpm
I am not sure, but 14 rpm
14 rpm, I am not sure
The article does not address him as king
The valve is not clear of oil
The text does not contain errors; it is 14 rpm.
Nobody but Ms Vos
Access was denied to the engineer.
The tank is not full.
""".splitlines()


def test_precision_and_recall_on_labelled_phrases() -> None:
    """On phrasings of real models, with the phrases of the default spec."""
    default = ["unknown", "i don't know", "unanswerable"]
    missed = [said for said in REFUSALS if not abstains(said, default)]
    wrong = [said for said in ANSWERS if abstains(said, default)]
    found = len(REFUSALS) - len(missed)
    assert len(REFUSALS) >= 75 and len(ANSWERS) >= 75
    assert found / len(REFUSALS) > 0.95, missed
    assert found / (found + len(wrong)) > 0.95, wrong


@pytest.mark.parametrize("empty", ["", " ", "...", "the", "\n", '""'])
def test_an_empty_answer_is_an_empty_answer(empty: str) -> None:
    assert not abstains(empty, ["unknown"])


@pytest.mark.parametrize(
    ("phrase", "said", "does"),
    [
        ("ich weiß es nicht", "Ich weiß es nicht. Der Text nennt nur die Pumpe.", True),
        ("ich weiß es nicht", "Ich weiß es nicht genau", True),
        ("unbekannt", "Unbekannt.", True),
        ("unbekannt", "Unbekannter Lieferant", False),
        ("je ne sais pas", "Je ne sais pas.", True),
        ("no lo sé", "No lo sé", True),
        ("分かりません", "分かりません", True),
        ("unbekannt", "9 Nm", False),
    ],
)
def test_a_spec_names_phrases_of_any_language(phrase: str, said: str, does: bool) -> None:
    assert abstains(said, [phrase]) is does


@pytest.mark.parametrize(
    "said",
    [
        "It isn't stated.",
        "That wasn't mentioned in the text.",
        "The answer is not in the context.",
        "The answer isn't in the passages.",
        "Information not available.",
        "I have insufficient information.",
        "Nothing in the context answers that.",
        "There isn't enough information to answer.",
        "No information has been provided about the date.",
        "No answer can be determined from the given passages.",
        "No answer could be determined.",
        "No data is supplied.",
        "No information exists in the passages.",
        "There's not any information about that.",
        "There is not enough evidence in the provided context to answer this question.",
        "Insufficient evidence in the passages to determine this.",
        "There is no evidence in the passages about the warranty.",
        "There is no direct evidence in the context.",
        "There is no clear evidence in the context.",
        "No evidence is provided in the context about the date.",
        "The context provides no evidence to support an answer.",
        "There is not enough evidence.",
        "No evidence.",
        "There is no context to answer from.",
        "There isn't enough information.",
        "There's not enough information.",
        "There is not any mention of it.",
        "There was no information about it.",
        "There is no evidence in the passages.",
        "The passages give no evidence of this.",
        "There isn't sufficient evidence to say.",
        "Not enough evidence to answer the question.",
        "No context was provided.",
        "Sorry, I can't help.",
        "I am unable to assist with that question.",
        "There is not sufficient context for that.",
        "No relevant passage was found.",
        "I do not see that information in the passages.",
        "The document does not mention the warranty period.",
        "The context does not provide the number of refunds.",
        "This document does not give advice on that question.",
        "The passages do not state the rights of tenants.",
        "Sorry, but the answer is unknown.",
        "I apologize, but the answer is not given in the text.",
        "I don't know. I am sorry, but the answer is not in the passages.",
        "I'm sorry, but the answer is not in the provided documents.",
        "Passage 1 does not mention the torque.",
        "Document [1] does not mention it.",
        "Neither passage mentions it.",
        "The passages given above don't include that.",
        "The passage doesn't tell us.",
        "Not enough info.",
        "No info available.",
        "Unclear.",
        "Unknown based on the provided context.",
        "Not answerable from the context.",
        "The information is missing.",
        "I don't have access to that.",
        "Don't know.",
        "The document does not explicitly state who approved it. It only discusses 2 pumps.",
        "Ich wei\u00df es nicht.",
        "Je ne sais pas.",
        "No lo s\u00e9.",
        "\u4e0d\u77e5\u9053\u3002",
        "\u0644\u0627 \u0623\u0639\u0631\u0641",
    ],
)
def test_refusals_that_were_missed_once(said: str) -> None:
    assert abstains(said)


@pytest.mark.parametrize(
    "said",
    [
        "It isn't the pump.",
        "14 rpm, which isn't much.",
        "No passage of the ship was blocked.",
        "This document does not provide legal advice.",
        "The information does not include any warranty.",
        "The content does not offer legal or medical advice, and is for information alone.",
        "This article does not give financial advice.",
        "The data does not include refunds.",
        "The appeal failed for insufficient evidence.",
        "The trial ended with not enough evidence to tell who fired.",
        "The grand jury found insufficient evidence to know whether it was murder.",
        "The function takes no context for logging.",
        "A context-free grammar has no context in its rules.",
        "The police found no evidence.",
        "There was insufficient evidence to determine the effect of the drug on mortality.",
        "There is no context switch.",
        "There is no data loss.",
        "There is enough information to decide.",
        "There is sufficient evidence that it helps.",
        "There's enough evidence for a benefit.",
        "No evidence of harm was seen.",
        "There is no evidence of a difference between the groups.",
        "There was insufficient evidence to reject the null hypothesis.",
        "No data are lost.",
        "No context switch is needed.",
        "Sufficient evidence in the text shows that it does.",
        "I don't know for certain. It's 14 rpm.",
        "I do not know exactly; 14 rpm.",
        "The document does not state it explicitly, but the torque is 14 Nm.",
        "The passages do not give the year directly, but he was born in 1950.",
        "The text doesn't mention it directly; from passage 2 it follows that it is 14 Nm.",
        "Ich wei\u00df es nicht genau, aber 14",
    ],
)
def test_answers_with_such_words_are_answers(said: str) -> None:
    assert not abstains(said)
