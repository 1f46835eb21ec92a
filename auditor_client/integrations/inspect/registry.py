"""What Inspect finds through its entry point: the provider, the sandbox, and the hooks around a run."""

from __future__ import annotations

from inspect_ai.hooks import BeforeModelGenerate, Hooks, RunEnd, hooks
from inspect_ai.model import ModelAPI, modelapi
from inspect_ai.util import sandboxenv

from auditor_client.integrations.inspect.folders import BOXES, CACHING
from auditor_client.integrations.inspect.sandbox import SafeconductSandbox


@modelapi(name="safeconduct")
def safeconduct() -> type[ModelAPI]:
    """Return the provider behind `--model safeconduct/VARIANT`."""
    from auditor_client.integrations.inspect.provider import SafeconductAPI  # noqa: PLC0415

    return SafeconductAPI


sandboxenv(name="safeconduct")(SafeconductSandbox)  # behind `--sandbox safeconduct`


@hooks(name="safeconduct", description="Ends a run's exchanges and cosigns the lab's log.")
class SafeconductHooks(Hooks):
    """Ends boxes and closes the auditor's folder when a run ends, as Inspect never closes a model."""

    async def on_before_model_generate(self, data: BeforeModelGenerate) -> None:
        """Note whether the call's output would be cached."""
        CACHING.set(data.cache is not None)

    async def on_run_end(self, data: RunEnd) -> None:  # noqa: ARG002 - the library's signature
        """End what was begun."""
        await BOXES.close()
