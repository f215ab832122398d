"""An entailment model of the user's, from a folder to the score."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench import parse
from bench.core.errors import UserError
from bench.core.vocabulary import Answer
from bench.execution.run import run
from bench.metrics.entailment import entailment, entailment_label
from bench.scoring import entailment_stage
from bench.verdict.score import score
from tests.conftest import MICRO, raw_spec, scores_json
from tests.made_up import Made, asked, scored, showing

LABELS = {0: "contradiction", 1: "neutral", 2: "entailment"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random cross-encoder of one narrow layer."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    out = tmp_path_factory.mktemp("nli")
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(MICRO)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=256,
        type_vocab_size=2,
        pad_token_id=0,
        id2label=LABELS,
        label2id={v: k for k, v in LABELS.items()},
    )
    BertForSequenceClassification(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def test_it_is_the_softmax_of_the_label(folder: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    pair = ("The torque of the Mibek 76 is 14 Nm.", "What is the torque? 14 Nm")
    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForSequenceClassification.from_pretrained(folder).eval(),
    )
    with torch.inference_mode():
        right = model(**tokenizer(*pair, return_tensors="pt")).logits.softmax(-1)[0, 2].item()
    long = ("The oil is Lases. " * 200, "x")
    found = entailment([pair, long], name=str(folder), batch_size=1)
    assert found[0] == pytest.approx(right, abs=1e-5) and 0 < found[1] < 1


def test_labels_must_say_entailment() -> None:
    assert (
        entailment_label(LABELS) == 2
        and entailment_label({0: "LABEL_0", 1: "LABEL_1"}) == 1
        and entailment_label({0: "not_entailment", 1: "entailment"}) == 1
    )
    with pytest.raises(ValueError, match="no label"):
        entailment_label({0: "positive", 1: "negative"})


@pytest.mark.heavy
def test_answers_with_passages_are_scored(folder: Path, tmp_path: Path) -> None:
    systems = [{"name": "rag", "kind": "rag"}, {"name": "echo", "kind": "tests.kinds.echo"}]
    outcome = run(
        parse(raw_spec(systems=systems, entailment={"name": str(folder)})), out=tmp_path / "r", store=tmp_path / "s"
    )
    assert outcome.status == "complete", outcome.failed
    assert entailment_stage.entail_run(outcome.folder) > 0
    found = scores_json(outcome.folder)["systems"]
    told = found["rag"]["scores"]["entailment"]
    assert 0 < told["mean"] < 1 and 0 < told["coverage"] <= 1 and found["echo"]["scores"]["entailment"] is None


def test_a_model_that_is_not_there_is_told(folder: Path, tmp_path: Path) -> None:
    spec = parse(raw_spec(entailment={"name": str(tmp_path / "model")}))
    with pytest.raises(UserError, match=r"entailment\.name"):
        run(spec, out=tmp_path / "r", store=tmp_path / "s")
    shutil.copytree(folder, tmp_path / "model")
    outcome = run(spec, out=tmp_path / "r", store=tmp_path / "s")
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(UserError, match="entailment model cannot be used"):
        entailment_stage.entail_run(outcome.folder)
    plain = run(parse(raw_spec(name="t2")), out=tmp_path / "r", store=tmp_path / "s")
    with pytest.raises(UserError, match="no entailment model"):
        entailment_stage.entail_run(plain.folder)


def test_marked_answers_and_refusals_are_read_by_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that finds a statement's last word, and a refusal of no known form, stands in for the real one."""

    def model(pairs: list[tuple[str, str]], **_: object) -> list[float]:
        return [
            float("could say" in shown if said == entailment_stage.UNANSWERED else said.split()[-1].strip(".") in shown)
            for shown, said in pairs
        ]

    monkeypatch.setattr("bench.metrics.entailment.entailment", model)
    said = {"q0": "It is right [1]. It is wrong [1].", "q1": "Well, nobody here could say that.", "q2": "short"}
    systems = {"rag": Made(showing(lambda question, _: Answer(said[question.id]), "what is right"))}
    scored(tmp_path, systems, asked(3), entailment={"name": "any"})
    assert entailment_stage.entail_run(tmp_path) == 3
    found = score(tmp_path).measured["rag"]
    recall, precision = (found.score(m) for m in ("alce_recall", "alce_precision"))
    assert recall and recall.mean == pytest.approx(0.5 / 2) and recall.n == 2  # what abstains cites nothing
    assert precision and precision.mean == pytest.approx(0.5)
    wrongly = found.score("abstains_wrongly")
    assert found.read_abstentions == 1 and wrongly and wrongly.mean == pytest.approx(1 / 3)


def test_a_model_without_its_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    lost = tmp_path / "lost"
    shutil.copytree(folder, lost)
    weights = load_file(lost / "model.safetensors")
    save_file({k: v for k, v in weights.items() if not k.startswith("classifier.")}, lost / "model.safetensors")
    with pytest.raises(ValueError, match=r"2 missing, such as classifier\.bias"):
        entailment([("a", "b")], name=str(lost))
