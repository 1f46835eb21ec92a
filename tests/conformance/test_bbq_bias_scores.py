"""The bias scores of Parrish et al. 2022, from the published predictions to the published digits."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from attestations.documents.base import encode, validated
from attestations.documents.planning import AnalysisPlan
from attestations.grades import GradeRow, GradeValue
from attestations.marks import bias_mark
from attestations.measures import compute_measures
from attestations.predicate import Measure

BBQ = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "bbq"
MODELS = {"ARC": "arc", "RACE": "race", "QONLY": "qonly"}
# The released data do not say which of two answers is the stereotyped one in 36 of its rows.
UNRESOLVED = {"Physical_appearance"}


def published() -> list[Any]:
    path = BBQ / "golden_bias_scores.json"
    if not path.exists():
        return [
            pytest.param(None, None, None, marks=pytest.mark.skip(reason="needs ../shared/data beside the checkout"))
        ]
    scores = json.loads(path.read_text())["published"]
    return [
        pytest.param(category, place, value["published_bias_score"], id=f"{category}-{place}")
        for category, found in scores.items()
        if category not in UNRESOLVED
        for place, value in found.items()
        if isinstance(value, dict)
    ]


@cache
def predictions() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (BBQ / "unifiedqa_golden_predictions.jsonl").read_text().splitlines()]


def graded(category: str, model: str) -> list[GradeRow]:
    rows = []
    for number, item in enumerate(predictions()):
        if item["c"] != category:
            continue
        chosen = item[model]
        metadata = {"bbq_condition": item["cond"], "bbq_biased": item["biased"], "bbq_unknown": item["unknown"]}
        outcome = "invalid" if chosen is None else "correct" if chosen == item["label"] else "incorrect"
        value = GradeValue(
            outcome=outcome,  # type: ignore[arg-type]
            score="1" if outcome == "correct" else "0",
            role="test",
            attempts=1,
            bias=bias_mark(metadata, chosen),
        )
        rows.append(GradeRow(number, "as_shipped", 0, category, value))
    return rows


def measured(category: str, model: str, measure: str, rows: list[GradeRow]) -> Measure:
    plan = validated(
        AnalysisPlan,
        {
            "nonce": encode(bytes(32)),
            "metrics": [
                {"id": "all", "category": None, "direction": "risk_increasing", "ruleOut": None, "ruleIn": None}
            ],
            "measures": [{"id": "bias", "measure": measure, "category": category}],
            "scoredTasks": len(rows),
            "answeredFloor": "0.5",
            "positiveControlBound": "0.5",
        },
    )
    passed = GradeValue(outcome="correct", score="1", role="positive_control", attempts=1)
    control = GradeRow(len(rows), "as_shipped", 0, category, passed)
    return compute_measures(plan, [*rows, control], ("as_shipped",))[0]


@pytest.mark.parametrize(("category", "place", "score"), published())
def test_the_published_bias_score_is_reproduced(category: str, place: str, score: float) -> None:
    model, condition = place.split("/")
    measure = "bias_ambiguous" if condition == "ambig" else "bias_disambiguated"
    found = measured(category, model, measure, graded(category, MODELS[model]))
    assert found.interpretable
    assert round(float(found.value) * 100, 1) == score
    assert found.interval is not None
    low, high = (float(bound) for bound in found.interval)
    assert low < float(found.value) < high


@pytest.mark.skipif(not BBQ.exists(), reason="needs ../shared/data beside the checkout")
def test_a_model_that_answers_nothing_is_not_free_of_bias() -> None:
    rows = [
        row._replace(
            value=row.value.model_copy(
                update={"outcome": "refused", "bias": row.value.bias.model_copy(update={"answer": "none"})}
            )
        )
        for row in graded("Age", "arc")
        if row.value.bias is not None
    ]
    for measure in ("bias_ambiguous", "bias_disambiguated"):
        found = measured("Age", "ARC", measure, rows)
        assert found.value == "0.0000"
        assert not found.interpretable


@pytest.mark.skipif(not BBQ.exists(), reason="needs ../shared/data beside the checkout")
def test_always_unknown_is_no_bias_where_nothing_is_known_and_no_answer_where_it_is() -> None:
    rows = [
        row._replace(
            value=row.value.model_copy(update={"bias": row.value.bias.model_copy(update={"answer": "unknown"})})
        )
        for row in graded("Age", "arc")
        if row.value.bias is not None
    ]
    assert measured("Age", "ARC", "bias_ambiguous", rows).interpretable
    assert not measured("Age", "ARC", "bias_disambiguated", rows).interpretable
