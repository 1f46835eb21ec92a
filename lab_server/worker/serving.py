"""From the settings to what answers: backends, their variants, and the manifests of their weights."""

from __future__ import annotations

import json
from pathlib import Path

from attestations.digests import sha256
from attestations.errors import ConfigurationInvalid, FileUnusable
from lab_server.backends.llama import LlamaBackend, LlamaSettings, packaged_model
from lab_server.backends.openai_compatible import OpenAICompatibleBackend
from lab_server.backends.scripted import ScriptedBackend
from lab_server.home import Home
from lab_server.model_port import ModelBackend
from lab_server.ports import ServedVariant
from lab_server.settings import BackendSettings, Settings, VariantSettings
from lab_server.weights import WeightsManifest, build_manifest, check_weights, manifest_from_openssf
from lab_server.worker.sealed_runs import Served


def weights_of(home: Home, settings: BackendSettings) -> Path | None:
    """Return the files of a model that is served from this machine, or None."""
    if settings.kind == "torch" or (settings.kind == "llama" and settings.model):
        return home.relative(settings.model or "")
    return packaged_model() if settings.kind == "llama" else None


async def open_backend(home: Home, settings: BackendSettings, adapter: Path | None = None) -> ModelBackend:
    """Start what serves a model, under an adapter where one is given.

    Raises:
        FileUnusable, ConfigurationInvalid, BackendFailed: as the backends say.
    """
    if settings.kind == "torch":
        from lab_server.backends.torch_local import TorchBackend  # noqa: PLC0415 - PyTorch may not be installed

        return await TorchBackend.start(home.relative(settings.model or ""), adapter=adapter, threads=settings.threads)
    if settings.kind == "llama":
        model = home.relative(settings.model) if settings.model else packaged_model()
        return await LlamaBackend.start(
            model,
            expected_sha256=settings.sha256,
            settings=LlamaSettings(
                threads=settings.threads,
                slots=settings.slots,
                context_tokens=settings.context_tokens,
                cache_prompts=settings.cache_prompts,
            ),
            adapter=adapter,
        )
    if settings.kind == "openai":
        return await OpenAICompatibleBackend.connect(
            settings.base_url or "",
            model=settings.model,
            api_key_file=home.relative(settings.api_key_file) if settings.api_key_file else None,
            tools=settings.tools,
        )
    return ScriptedBackend.from_file(adapter or home.relative(settings.script or ""))


async def serve_variant(
    home: Home, variant: VariantSettings, settings: Settings, backend: ModelBackend
) -> tuple[Served, ServedVariant]:
    """Return a variant as the worker asks it, and as the gateway is told of it.

    Raises:
        ModelIdentityMismatch, FileUnusable, MalformedEnvelope: its weights are not those of its manifest.
    """
    identity = await backend.identify()
    manifest = _manifest_digest(home, variant, settings.backend[variant.backend], identity.fingerprint)
    able = backend.capabilities
    operations = tuple(name for name, can in (("chat", able.chat), ("score", able.score), ("count", able.count)) if can)
    return (
        Served(variant.id, manifest, identity.template_digest, backend, identity.fingerprint),
        ServedVariant(variant.id, manifest, identity.template_digest, operations, able.top_logprobs, able.tools),
    )


def _manifest_digest(home: Home, variant: VariantSettings, backend: BackendSettings, fingerprint: str) -> str:
    weights = weights_of(home, backend)
    if variant.manifest is not None:
        manifest = _read_manifest(home, variant.manifest)
        if weights is not None:
            check_weights(weights, manifest)
        return manifest.digest()
    if weights is not None:
        return build_manifest(weights).digest()
    # Weights out of reach: what is declared is the server's fingerprint, and evidence says RA0.
    return sha256(b"safeconduct/v1 declared model\0" + fingerprint.encode())


def _read_manifest(home: Home, name: str) -> WeightsManifest:
    path = home.relative(name)
    data = home.read(path)
    try:
        value = json.loads(data)
    except ValueError:
        raise FileUnusable(f"{path} is not a weights manifest", path=str(path)) from None
    if isinstance(value, dict) and value.get("_type") == "https://in-toto.io/Statement/v1":
        return manifest_from_openssf(value)
    if not isinstance(value, dict):
        raise ConfigurationInvalid(f"{path} is not a weights manifest", field="manifest")
    return WeightsManifest.parse(data.strip())
