"""Options of Inspect: carried into the signed request, acted on by Inspect itself, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="needs safeconduct[inspect]")

from inspect_ai.model import GenerateConfig

from attestations.errors import ConfigurationInvalid, ScopeExceeded
from auditor_client.integrations.inspect.asking import BESIDE, CARRIED, UNSUPPORTED, check_supported
from tests.unit.auditor_client.conftest import Audit
from tests.unit.auditor_client.test_inspect_provider import OneFolder, folder, model

__all__ = ["folder"]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Inspect's own


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        (GenerateConfig(seed=7), "seed"),
        (GenerateConfig(top_k=5), "top_k"),
        (GenerateConfig(num_choices=2), "num_choices"),
        (GenerateConfig(max_tokens=65), "output_tokens"),
        (GenerateConfig(logprobs=True, top_logprobs=6), "top_logprobs"),
        (GenerateConfig(cache=True), "cache"),
        (GenerateConfig(stop_seqs=["x"] * 9), "request"),
        (GenerateConfig(max_tokens=0), "output_tokens"),
        (GenerateConfig(top_logprobs=3), "top_logprobs"),
        (GenerateConfig(temperature=-1.0), "temperature"),
        (GenerateConfig(temperature=1e-9), "temperature"),
        (GenerateConfig(temperature=float("nan")), "temperature"),
        (GenerateConfig(top_p=0.0), "top_p"),
        (GenerateConfig(parallel_tool_calls=False), "parallel_tool_calls"),
        (GenerateConfig(reasoning_history="all"), "reasoning_history"),
        (GenerateConfig(attempt_timeout=60), "attempt_timeout"),
    ],
)
async def test_what_the_exchange_does_not_carry_is_refused_by_name(
    audit: Audit, folder: OneFolder, config: GenerateConfig, rule: str
) -> None:
    with pytest.raises(ScopeExceeded) as refused:
        await model().generate("canary-text", config=config)

    assert rule == refused.value.facts["rule"]
    assert "canary-text" not in str(refused.value)
    assert not audit.lab.held


def test_an_option_inspect_has_and_the_exchange_does_not_is_refused_unless_inspect_acts_on_it_itself() -> None:
    for name in set(GenerateConfig.model_fields) - CARRIED - BESIDE:
        config: Any = GenerateConfig().model_copy(update={name: "canary-value"})
        with pytest.raises(ScopeExceeded) as refused:
            check_supported(config, "auto", ())
        assert (name, "canary" in str(refused.value)) == (refused.value.facts["rule"], False)
    assert {"extra_headers", "fallback_models", "reasoning_effort", "verbosity"} <= UNSUPPORTED
    assert not (CARRIED | BESIDE) - set(GenerateConfig.model_fields)


async def test_what_is_named_as_to_be_ignored_is_left_out_and_said_so(audit: Audit, folder: OneFolder) -> None:
    asked = model(ignore="seed,top_k")
    both = await asked.generate("q", config=GenerateConfig(seed=7, top_k=5))
    neither = await asked.generate("q")

    assert both.metadata is not None
    assert both.metadata["safeconduct"]["ignored"] == ["seed", "top_k"]
    assert neither.metadata is not None
    assert "ignored" not in neither.metadata["safeconduct"]


@pytest.mark.parametrize("wrong", ["max_tokens", "attempt_timeout", "sede", None, 5])
async def test_what_cannot_be_left_out_is_refused_where_it_is_named(folder: OneFolder, wrong: Any) -> None:
    with pytest.raises(ConfigurationInvalid):
        model(ignore=wrong)
