"""The lab's model as Inspect sees it: `--model safeconduct/VARIANT`, every call a signed exchange."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import sniffio
from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput
from inspect_ai.model._model import RetryDecision
from inspect_ai.tool import ToolChoice, ToolInfo

from attestations.errors import ConfigurationInvalid, ScopeExceeded
from attestations.keys import KeyUse
from auditor_client.home import Home
from auditor_client.integrations.inspect.asking import UNSUPPORTED, chat_request, check_supported, sampling
from auditor_client.integrations.inspect.folders import CACHING, FOLDERS, folder_of
from auditor_client.integrations.inspect.outputs import model_output
from auditor_client.integrations.receipts import receipt
from auditor_client.intending import Question
from auditor_client.settings import load_settings

_BYTES_A_TOKEN = 4


class SafeconductAPI(ModelAPI):
    """A variant of the agreement in force in an auditor's folder.

    The folder is `-M home=FOLDER` or the environment's SAFECONDUCT_HOME. Its keys stay in it: nothing secret is a
    model argument, so nothing secret is in a log. `-M ignore=seed,top_k` names options of a task that the exchange
    does not carry and that may be left out; receipts repeat them.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 - Inspect's own default, never changed
        **model_args: Any,
    ) -> None:
        super().__init__(model_name, base_url, None, [], config)
        if base_url is not None or api_key is not None:
            raise ConfigurationInvalid("the lab's address and our keys are in the auditor's folder", field="api_key")
        home, ignored = model_args.pop("home", None), model_args.pop("ignore", "")
        if model_args:
            raise ConfigurationInvalid("model arguments are home and ignore; never a credential", field="model_args")
        self._path = folder_of(home)
        self._ignored = _ignorable(ignored)
        self._lanes = load_settings(Home(self._path).settings).run.lanes

    @property
    def folder(self) -> Path:
        """The auditor's folder this model is asked from."""
        return self._path

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - Inspect's name
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Ask once; an exchange that ends without an answer is tried again as often as the suite registered.

        Raises:
            ScopeExceeded, BudgetExhausted, and other RefusedError: the agreement does not cover the call any more.
            BackendFailed: no attempt was answered.
            EvidenceError, PeerError: the lab broke the protocol.
        """
        if sniffio.current_async_library() != "asyncio":
            raise ConfigurationInvalid("gRPC needs asyncio: unset INSPECT_ASYNC_BACKEND", field="INSPECT_ASYNC_BACKEND")
        if config.cache or CACHING.get():
            raise ScopeExceeded("a cached answer is no exchange: leave out --cache", rule="cache")
        if config.attempt_timeout is not None:
            raise ScopeExceeded(
                "the lab is bound to an exchange that begins, and Inspect would ask again: leave out --attempt-timeout",
                rule="attempt_timeout",
            )
        left_out = check_supported(config, tool_choice, self._ignored)
        folder = await FOLDERS.open(self._path)
        scope = folder.agreement.scope
        if self.model_name not in scope.variants:
            granted = ", ".join(f"safeconduct/{name}" for name in scope.variants)
            raise ScopeExceeded(f"the agreement does not grant this variant; it grants {granted}", rule="variant")
        request = chat_request(input, tools if tool_choice != "none" else [], config)
        question = Question(request, self.model_name, sampling(config, scope))
        answered = await folder.questioner.answer(question)
        return model_output(
            answered,
            tools,
            model=self.model_name,
            alternatives=bool(config.top_logprobs),
            metadata=receipt(answered, lab_key=folder.agreement.lab_key(KeyUse.RECORD))
            | ({"ignored": left_out} if left_out else {}),
        )

    def should_retry(self, ex: Exception) -> RetryDecision:  # noqa: ARG002 - the library's signature
        """Never: lanes mend connections, attempts are counted, and a refusal is final."""
        return RetryDecision.no()

    def max_connections(self) -> int:
        """Return how many exchanges run at once: `run.lanes` of the folder's settings."""
        return self._lanes

    def connection_key(self) -> str:
        """Return the folder: its lanes are shared by all variants asked from it."""
        return str(self._path)

    def force_reasoning_history(self) -> Literal["none"]:
        """Leave reasoning of earlier turns out: the exchange carries text."""
        return "none"

    async def count_text_tokens(self, text: str) -> int:
        """Return a rough number from the text's size; asking the lab would be an exchange."""
        return -(-len(text.encode()) // _BYTES_A_TOKEN)

    async def aclose(self) -> None:
        """Close the folder, for those who use a model outside a run."""
        await FOLDERS.close()


def _ignorable(given: object) -> frozenset[str]:
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, list | tuple):
        raise ConfigurationInvalid("ignore holds names of options, with commas between them", field="ignore")
    found = frozenset(str(name).strip() for name in names) - {""}
    for name in sorted(found - UNSUPPORTED - {"tool_choice"}):
        raise ConfigurationInvalid(f"{name} is no option that can be left out", field="ignore")
    return found
