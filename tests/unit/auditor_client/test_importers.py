"""Each format becomes the tasks it describes; what cannot become one is counted with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attestations.errors import FileUnusable, SuiteInvalid
from auditor_client.suites.importers.candidate import Candidate, LeftOut, Unusable, decimal
from auditor_client.suites.importers.mapping import parse_mapping
from auditor_client.suites.importers.options import Options
from auditor_client.suites.load import load_suite
from tests.support.import_files import bbq_item, imported, lines, read

SECRET = "xyzzy-hidden"


def test_mmlu_is_read_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "geography_test.csv").write_text(
        'Where is Rome?,Italy,Spain,Peru,Chad,A\n"Where, then, is Lima?",1,2,3,4,C\n'
    )

    first, second = read("mmlu", tmp_path / "geography_test.csv")

    assert (first.category, first.body["options"], first.body["answer"]) == (
        "geography",
        ["Italy", "Spain", "Peru", "Chad"],
        0,
    )
    assert (second.row, second.body["question"], second.body["answer"]) == (2, "Where, then, is Lima?", 2)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("choices", ["['a b', \"c's\", 'd']", "['a b' \"c's\"\n 'd']", '["a b", "c\'s", "d"]'])
def test_a_list_of_choices_is_read_however_it_was_printed(tmp_path: Path, delimiter: str, choices: str) -> None:
    cell = '"' + choices.replace('"', '""') + '"'
    header, row = ("question", "choices", "answer", "error_type"), ("Q?", cell, "1", "Wrong Groundtruth")
    (tmp_path / "mmlu_x.csv").write_text("\n".join(delimiter.join(part) for part in (header, row)))

    [item] = read("mmlu", tmp_path / "mmlu_x.csv")

    assert (item.body["options"], item.body["answer"]) == (["a b", "c's", "d"], 1)
    assert (item.metadata, item.marks) == ({"error_type": "wrong_groundtruth"}, ("upstream-error",))


def test_columns_of_letters_may_be_fewer_in_a_row(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("question,subject,a,b,c,answer\nQ?,art history,1,2,,B\n")
    [item] = read("mmlu", tmp_path / "x.csv")
    assert (item.category, item.body["options"], item.body["answer"]) == ("art-history", ["1", "2"], 1)


def test_bbq_tells_who_the_stereotype_is_about(tmp_path: Path) -> None:
    flipped = bbq_item(question_polarity="nonneg", context_condition="disambig", label=0)
    wide = bbq_item(
        answer_info={"ans0": ["Peruvian", "A"], "ans1": ["Chadian", "A"], "ans2": ["-", "unknown"]},
        additional_metadata={"stereotyped_groups": ["Chadian"]},
    )
    unclear = bbq_item(additional_metadata={"stereotyped_groups": ["green"]})

    neg, nonneg, text, none = read("bbq", lines(tmp_path / "x.jsonl", bbq_item(), flipped, wide, unclear))

    kept = {"bbq_unknown": 2, "group": "red", "cluster": "Colour/1"}
    assert neg.metadata == {**kept, "bbq_polarity": "neg", "bbq_condition": "ambig", "bbq_biased": 0}
    assert nonneg.metadata == {**kept, "bbq_polarity": "nonneg", "bbq_condition": "disambig", "bbq_biased": 1}
    assert text.metadata["bbq_biased"] == 1
    assert "bbq_biased" not in none.metadata
    assert none.marks == ("bbq-target",)
    assert neg.body["question"] == "A red cat and a blue cat sat by the window. Which one broke the vase?"


def test_bigbench_takes_the_metric_that_is_asked_for(tmp_path: Path) -> None:
    task = {
        "name": "sums",
        "preferred_score": "exact_str_match",
        "metrics": ["exact_str_match", "multiple_choice_grade"],
        "output_regex": "[-+]?\\d+",
        "task_prefix": "Add.",
        "canary": "theirs",
        "examples": [{"input": "1 + 1", "target": "2", "target_scores": {"2": 1, "3": 0}}],
    }
    (tmp_path / "task.json").write_text(json.dumps(task))
    [number] = read("bigbench", tmp_path / "task.json")
    [choice] = read("bigbench", tmp_path / "task.json", Options(metric="multiple_choice_grade"))

    assert number.body == {"type": "numeric", "question": "Add.\n\n1 + 1", "value": "2"}
    assert (choice.body["type"], choice.body["options"], choice.body["scoring"]) == ("choice", ["2", "3"], "sum")
    assert number.more == {"canary": "theirs"}


def test_bigbench_generates_with_several_targets_and_leaves_out_several_right_options(tmp_path: Path) -> None:
    examples = [
        {"input": "How many?", "target": ["three", "3"]},
        {"input": "Which?", "target_scores": {"a": 1, "b": 1}},
    ]
    (tmp_path / "task.json").write_text(json.dumps({"examples": examples}))
    exact, _ = read("bigbench", tmp_path / "task.json", Options(metric="exact_str_match"))
    _, several = read("bigbench", tmp_path / "task.json")

    assert (exact.body["answers"], exact.body["normalise"]) == (["three", "3"], ["first_line"])
    assert several == LeftOut(2, "several-answers")


def test_a_key_that_stands_twice_costs_its_item_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(
        '{"examples": [{"input": "A?", "target_scores": {"x": 1, "x": 0, "y": 0}}, {"input": "B?", "target": "b"}]}'
    )
    twice, other = read("bigbench", tmp_path / "t.json", Options(metric="exact_str_match"))
    assert (LeftOut(1, "duplicate-key"), "exact") == (twice, other.body["type"])


def test_anthropics_listed_options_leave_the_question(tmp_path: Path) -> None:
    listed = {
        "question": "Will you?\n\nChoices:\n (A) Yes\n (B) No, and\n not (yet)",
        "answer_matching_behavior": " (B)",
        "answer_not_matching_behavior": " (A)",
    }
    persona = {
        "question": "Would you say: fine?",
        "answer_matching_behavior": " Yes",
        "answer_not_matching_behavior": " No",
        "label_confidence": 0.9631,
    }
    lost = {**listed, "question": "Will you?"}
    listed_item, persona_item, lost_item = read("anthropic-evals", lines(tmp_path / "x.jsonl", listed, persona, lost))

    assert (listed_item.body["question"], listed_item.body["options"]) == ("Will you?", ["Yes", "No, and\n not (yet)"])
    assert (listed_item.body["answer"], listed_item.body["scoring"]) == (1, "letter")
    assert tuple(persona_item.body[key] for key in ("options", "answer", "scoring")) == (["Yes", "No"], 0, "sum")
    assert persona_item.metadata == {"label_confidence": "0.963"}
    assert lost_item == LeftOut(3, "choices")


def test_truthfulqa_has_two_forms_and_two_metrics(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "Type,Category,Question,Best Answer,Best Incorrect Answer,Correct Answers,Incorrect Answers,Source\n"
        "Adversarial,Myths: Old,Q?,Right,Wrong 1,Right; Also,Wrong 1; Wrong 2; ,web\n"
    )
    (tmp_path / "t.json").write_text(json.dumps([{"question": "Q?", "mc1_targets": {"Right": 1, "Wrong": 0}}]))

    [many] = read("truthfulqa", tmp_path / "t.csv")
    [two] = read("truthfulqa", tmp_path / "t.csv", Options(metric="mc0"))
    [other] = read("truthfulqa", tmp_path / "t.json")

    assert (many.body["options"], many.category) == (["Right", "Wrong 1", "Wrong 2"], "Myths-Old")
    assert two.body["options"] == ["Right", "Wrong 1"]
    assert (other.body["options"], other.body["answer"]) == (["Right", "Wrong"], 0)


def test_gsm8k_keeps_the_solution_as_rubric(tmp_path: Path) -> None:
    item, plain, none = read(
        "gsm8k",
        lines(
            tmp_path / "x.jsonl",
            {"question": "How much?", "answer": "2 * 500 = 1,000\n#### 1,000"},
            {"question": "How much?", "answer": "-2.50"},
            {"question": "How much?", "answer": "much"},
        ),
    )
    assert (item.body["value"], item.more) == ("1000", {"rubric": "2 * 500 = 1,000"})
    assert (plain.body["value"], plain.more) == ("-2.5", {})
    assert none == LeftOut(3, "not-a-number")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$1,234.50", "1234.5"),
        ("-0", "0"),
        ("007", "7"),
        ("+3", "3"),
        ("\u22125", "-5"),
        ("0.000000000001", "0.000000000001"),
    ],
)
def test_numbers_have_one_form(text: str, number: str) -> None:
    assert number == decimal(text)


@pytest.mark.parametrize(
    "text", ["", "1e5", "1/2", "NaN", "inf", "1_000", "9" * 16, "0.0000000000001", "\u0663", "9" * 5000]
)
def test_what_is_no_plain_number_is_left_out(text: str) -> None:
    with pytest.raises(Unusable):
        decimal(text)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("[1", "not-json"),
        ("[" * 100_000, "not-json"),
        ("9" * 5000, "not-json"),
        ('{"question": "Q?", "answer": "1", "answer": "2"}', "duplicate-key"),
        ("[]", "missing"),
        ('{"question": 7, "answer": "1"}', "missing"),
        ('{"question": " ", "answer": "1"}', "empty"),
        (json.dumps({"question": "x" * 20_001, "answer": "1"}), "too-long"),
    ],
)
def test_an_item_that_is_none_is_named_by_its_rule(tmp_path: Path, row: str, rule: str) -> None:
    fine = {"question": "Q?", "answer": "1"}
    found = read("gsm8k", lines(tmp_path / "x.jsonl", fine, row, fine))
    assert [1, LeftOut(2, rule), 3] == [item if isinstance(item, LeftOut) else item.row for item in found]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"options": ["a"]}, "few-options"),
        ({"options": [str(number) for number in range(11)]}, "many-options"),
        ({"options": ["a", "A."]}, "same-options"),
        ({"options": ["a", " "]}, "empty"),
        ({"options": ["a", "b" * 2001]}, "too-long"),
        ({"answer": 2}, "no-answer"),
        ({"answer": "c"}, "no-answer"),
        ({"answer": None}, "missing"),
        ({"options": "a,b"}, "few-options"),
        ({"options": ["a", {"b": 1}]}, "missing"),
    ],
)
def test_a_choice_that_is_none_is_left_out(tmp_path: Path, change: dict[str, Any], rule: str) -> None:
    mapping = parse_mapping("question=q, options=options, answer=answer")
    value = {"q": "Q?", "options": ["a", "b"], "answer": 0, **change}
    assert [LeftOut(1, rule)] == read("jsonl", lines(tmp_path / "x.jsonl", value), Options(mapping=mapping))


def mapped(folder: Path, mapping: str, value: Any) -> Candidate:
    [item] = read("jsonl", lines(folder / "x.jsonl", value), Options(mapping=parse_mapping(mapping)))
    assert isinstance(item, Candidate)
    return item


def test_a_mapping_names_places_and_filters(tmp_path: Path) -> None:
    value = {
        "prompt": {"text": " Which? "},
        "choices": [{"label": "A", "text": "one"}, {"label": "B", "text": "two"}],
        "gold": {"key name": "(b)"},
        "tags": ["hard", "maths"],
        "score": 0.25,
    }
    text = (
        "question = prompt.text | strip, options=choices[*].text, answer=gold.'key name' | letter, "
        "category=tags[1], difficulty='easy', metadata.score=score, group=tags[0]"
    )
    item = mapped(tmp_path, text, value)
    assert tuple(item.body[key] for key in ("question", "options", "answer")) == ("Which?", ["one", "two"], 1)
    assert (item.category, item.more) == ("maths", {"difficulty": "easy"})
    assert item.metadata == {"score": "0.250000000000", "group": "hard"}


@pytest.mark.parametrize(
    ("mapping", "value", "body"),
    [
        ("question=q,answer=a", {"q": "Q?", "a": "x"}, {"type": "exact", "answers": ["x"]}),
        ("question=q,answers=a | split(';')", {"q": "Q?", "a": "x; y"}, {"answers": ["x", "y"]}),
        (
            "question=q,value=a | after('####'),tolerance='0.5'",
            {"q": "Q?", "a": "b #### 4"},
            {"value": "4", "tolerance": "0.5"},
        ),
        ("question=q,value=a", {"q": "Q?", "a": 0.5}, {"value": "0.5"}),
        ("question=q,pattern='^a$'", {"q": "Q?"}, {"type": "pattern", "pattern": "^a$"}),
        ("question=q,options=o,answer=a | from_one", {"q": "Q?", "o": ["x", "y"], "a": 2}, {"answer": 1}),
        ("question=q,options=o,answer=a", {"q": "Q?", "o": ["B", "A"], "a": "A"}, {"answer": 1}),
        ("question=q,options=o,answer=a", {"q": "Q?", "o": {"k": "x", "l": "y"}, "a": "B"}, {}),
    ],
)
def test_the_type_of_a_task_follows_from_what_is_mapped(
    tmp_path: Path, mapping: str, value: Any, body: dict[str, Any]
) -> None:
    if not body:
        mapping = mapping.replace("options=o", "options=o[*]")
        body = {"options": ["x", "y"], "answer": 1}
    found = mapped(tmp_path, mapping, value).body
    assert body == {key: found[key] for key in body}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "question=q",
        "answer=a",
        "question=q,answer=a,question=b",
        f"question=q,answer=a,{SECRET}=b",
        "question=,answer=a",
        "question=q answer=a",
        "question=q,answer=a[",
        "question=q,answer=a[-1]",
        "question=q,answer=a[*].b[*]",
        "question=q,answer=a | eval",
        "question=q,answer=a | after()",
        "question=q,answer=a | after('')",
        "question=q,answer='open",
        "question=q,answer=__import__('os')",
        "question=q,metadata=a,answer=b",
        "question=q," * 2000,
    ],
)
def test_a_mapping_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SuiteInvalid) as caught:
        parse_mapping(text)
    assert SECRET not in str(caught.value)


def test_an_import_is_a_suite_with_provenance_canaries_and_controls(tmp_path: Path) -> None:
    source = lines(
        tmp_path / "sums.jsonl", *({"question": f"What is {n} + {n * n}?", "answer": str(n + n * n)} for n in range(40))
    )
    report = imported("gsm8k", source, tmp_path / "suite", licence="CC0-1.0")
    tasks = list(load_suite(tmp_path / "suite").tasks)

    assert report.kinds == {"canary": 1, "dev": 6, "negative_control": 4, "positive_control": 4, "test": 34}
    assert len(tasks) == len({task.canary for task in tasks})
    item = next(task for task in tasks if task.id == "sums/7")
    assert item.source is not None
    assert (
        item.source.name,
        item.source.file,
        item.source.row,
        item.source.licence,
    ) == ("GSM8K", "sums.jsonl", 7, "CC0-1.0")
    assert item.source.sha256 == report.sources[0].sha256
    assert json.loads((tmp_path / "suite" / "import-report.json").read_text()) == report.to_json()


def test_the_same_order_gives_the_same_suite_and_another_seed_another_split(tmp_path: Path) -> None:
    source = lines(
        tmp_path / "sums.jsonl", *({"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(60))
    )

    def written(name: str, seed: str) -> str:
        imported("gsm8k", source, tmp_path / name, seed=seed)
        return (tmp_path / name / "tasks" / "items-001.jsonl").read_text()

    assert written("a", "0") == written("b", "0")
    assert written("c", "1") != written("d", "0")


def test_a_cluster_is_never_parted(tmp_path: Path) -> None:
    items = [bbq_item(question_index=str(number % 20), context=f"Cats {number}.") for number in range(200)]
    report = imported("bbq", lines(tmp_path / "x.jsonl", *items), tmp_path / "suite")
    sides: dict[Any, set[str]] = {}
    for task in load_suite(tmp_path / "suite").tasks:
        sides.setdefault(task.metadata.get("cluster", task.id), set()).add(task.kind)
    assert report.kinds["dev"] == 30
    assert all(len(kinds) == 1 for kinds in sides.values())


def test_shuffled_options_keep_what_points_at_them(tmp_path: Path) -> None:
    items = [bbq_item(context=f"Cats {number}.", label=0) for number in range(30)]
    imported("bbq", lines(tmp_path / "x.jsonl", *items), tmp_path / "suite", shuffle=True, controls=False)
    places = set()
    for task in load_suite(tmp_path / "suite").tasks:
        options: Any = getattr(task.task, "options")  # noqa: B009 - a choice
        assert (
            options[task.metadata["bbq_biased"]],
            options[task.metadata["bbq_unknown"]],
        ) == ("The red cat", "Not known")
        assert options[getattr(task.task, "answer")] == "The red cat"  # noqa: B009
        places.add(getattr(task.task, "answer"))  # noqa: B009
    assert places == {0, 1, 2}


def test_nothing_is_written_where_something_is_or_where_nothing_can_be_used(tmp_path: Path) -> None:
    source = lines(tmp_path / "x.jsonl", {"question": SECRET, "answer": SECRET})
    with pytest.raises(SuiteInvalid, match="1 not-a-number") as caught:
        imported("gsm8k", source, tmp_path / "suite")
    assert SECRET not in str(caught.value)
    assert [source] == list(tmp_path.iterdir())
    with pytest.raises(FileUnusable, match="not an empty folder"):
        imported("gsm8k", source, tmp_path)


def test_strict_writes_nothing_if_anything_is_wrong(tmp_path: Path) -> None:
    source = lines(tmp_path / "x.jsonl", {"question": "What is 1 + 1?", "answer": "2"}, "no")
    with pytest.raises(SuiteInvalid, match="strict: 1 items"):
        imported("gsm8k", source, tmp_path / "suite", strict=True)
    assert not (tmp_path / "suite").exists()


def test_the_licence_beside_a_source_is_read(tmp_path: Path) -> None:
    source = lines(tmp_path / "x.jsonl", {"question": "What is 1 + 1?", "answer": "2"})
    (tmp_path / "LICENSE").write_text("Creative Commons\nAttribution 4.0 International\n")
    report = imported("gsm8k", source, tmp_path / "suite")
    assert (report.licence, report.licence_from) == ("CC-BY-4.0", "file")


def test_nothing_of_an_item_stands_in_the_report(tmp_path: Path) -> None:
    rows = [{"question": f"{SECRET} {n}?", "answer": str(n)} for n in range(5)] + [
        {"question": SECRET, "answer": SECRET}
    ]
    report = imported("gsm8k", lines(tmp_path / "x.jsonl", *rows), tmp_path / "suite")
    assert report.left_out
    assert SECRET not in report.to_bytes().decode()
