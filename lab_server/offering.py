"""The terms one auditor is offered: what `lab.toml` grants it, within what the worker can really serve."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from attestations.digests import sha256
from attestations.documents.agreement import Access, Budget, FineTuningGrant, Runtime, Scope, Terms, Timing, Variant
from attestations.documents.base import format_time
from attestations.errors import ConfigurationInvalid
from attestations.identity import Identity
from attestations.policy.defaults import standard_policy
from attestations.policy.lint import lint
from attestations.templates.catalogue import PREFIX, find
from attestations.templates.terms_file import TermsFile, read_terms as parse_terms
from lab_server.home import Home, spki_pin
from lab_server.hook_settings import HooksSettings
from lab_server.ports import ServedVariant
from lab_server.settings import AuditorSettings, Settings, TimingSettings


def terms_for(
    home: Home,
    settings: Settings,
    grant: AuditorSettings,
    lab_identity: Identity,
    auditor: Identity,
    served: tuple[ServedVariant, ...],
    now: datetime,
) -> Terms:
    """Return the terms for one auditor.

    Raises:
        ConfigurationInvalid: they do not make sense; the message names the field.
        PolicyUnsatisfiable: their policy breaks a rule of the linter.
    """
    by_id = {variant.id: variant for variant in served}
    wanted = grant.variants or tuple(variant.id for variant in settings.variant)
    declared = {variant.id: variant for variant in settings.variant}
    for name in wanted:
        if name not in declared:
            raise ConfigurationInvalid(f"{grant.identity} is granted {name}, which is not declared", field="variants")
    agreed = read_terms(home, grant)
    able = set.intersection(*(set(by_id[name].operations) for name in wanted)) | settings.hooks.offered()
    try:
        return Terms(
            lab=lab_identity.party(),
            auditor=auditor.id,
            gateway=spki_pin(lab_identity.tls or ""),
            # One name space for each auditor: two logs of one name and key would look like one log with two histories.
            # Witnesses see the name, so it does not tell who the auditor is.
            origin_prefix=f"{lab_identity.id}/safeconduct/{sha256(auditor.id.encode())[:16]}",
            variants=tuple(
                Variant(
                    id=name,
                    kind=declared[name].kind,
                    parent=declared[name].parent,
                    manifest=by_id[name].manifest,
                    template=by_id[name].template,
                    note=declared[name].note,
                )
                for name in wanted
            ),
            scope=Scope(
                variants=wanted,
                operations=tuple(name for name in grant.operations if name in able),
                tools=grant.tools and all(by_id[name].tools for name in wanted),
                max_top_logprobs=min([grant.max_top_logprobs, *(by_id[name].max_top_logprobs for name in wanted)]),
                max_output_tokens=grant.max_output_tokens,
                max_sessions=grant.max_sessions,
            ),
            budget=Budget(
                requests=grant.requests,
                input_tokens=grant.input_tokens,
                output_tokens=grant.output_tokens,
                crashes=grant.crashes,
                unrevealed=grant.unrevealed,
            ),
            fine_tuning=_fine_tuning(grant, settings.hooks),
            access=Access(not_before=grant.not_before, not_after=grant.not_after, business_days=grant.business_days),
            timing=_timing(settings.timing),
            runtime=Runtime(level="RA0"),
            policy=agreed.policy,
            clauses=agreed.clauses,
            issued_at=format_time(now),
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(step) for step in first["loc"])
        raise ConfigurationInvalid(f"the terms for {auditor.id}: {field}: {first['msg']}", field=field) from None


def read_terms(home: Home, grant: AuditorSettings) -> TermsFile:
    """Return the policy and clauses of one auditor's terms; a policy that the linter refuses is refused here already.

    `policy` names a file or, as `template:NAME`, one of the templates, with the holders that `escrow` names.
    """
    if grant.policy is None:
        return TermsFile(policy=standard_policy())
    if grant.policy.startswith(PREFIX):
        terms = find(grant.policy.removeprefix(PREFIX)).terms(grant.escrow)
    elif grant.escrow:
        raise ConfigurationInvalid("`escrow` goes with a template; a file names its holders itself", field="escrow")
    else:
        path = home.relative(grant.policy)
        terms = parse_terms(home.read(path), str(path))
    lint(terms.policy)
    return terms


def _fine_tuning(grant: AuditorSettings, hooks: HooksSettings) -> FineTuningGrant | None:
    if "fine_tune" not in grant.operations or "fine_tune" not in hooks.offered():
        return None
    limits = hooks.fine_tune
    return FineTuningGrant(max_jobs=limits.max_jobs, max_train_tokens=limits.max_train_tokens)


def _timing(settings: TimingSettings) -> Timing:
    return Timing.model_validate(settings.model_dump())
