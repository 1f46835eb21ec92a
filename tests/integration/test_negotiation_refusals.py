"""What each side refuses in a negotiation, with the exact error at the other side, over the real wire."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attestations.commands.consenting import consent
from attestations.documents.agreement import Agreement, Budget, PartyKey
from attestations.documents.base import encode, validated
from attestations.documents.negotiation import Withdraw
from attestations.envelope import parse_envelope, sign_document
from attestations.errors import (
    AgreementDigestMismatch,
    AmendmentRetroactive,
    ConfigurationInvalid,
    OfferExpired,
    OfferSuperseded,
    PhaseViolation,
    PolicyUnsatisfiable,
    ProtectedClauseViolation,
    SignatureLocked,
    TermsRefused,
)
from attestations.identity import Identity
from attestations.keys import KeyUse, P256Signer
from attestations.negotiation.messages import Concluded
from attestations.negotiation.speaking import amended, until
from attestations.policy.model import Policy
from attestations.sealing import WorkerKey
from auditor_client.proposing import open_current, propose, settle
from lab_server.amending import Amending
from tests.support.negotiating_lab import Table, negotiating

MORE = '[budget]\nrequests = "2000000"\n'


async def proposed(table: Table, **options: Any) -> Any:
    return await propose(
        table.proposal, lab=table.lab, journal=table.journal, keys=table.keys, clock=table.clock, **options
    )


def changed(table: Policy, name: str, **fields: Any) -> Policy:
    value = table.json_value()
    rules = [rule | fields if rule["id"] == name else rule for rule in value["rules"]]
    return validated(Policy, value | {"rules": rules})


async def test_an_offer_that_was_replaced_cannot_be_accepted(tmp_path: Path) -> None:
    """T017."""
    async with negotiating(tmp_path, review="manual") as table:
        assert await proposed(table) is None
        await table.counter(MORE)
        await table.talks.sync()
        await table.counter('[budget]\nrequests = "5"\n')
        await table.talks.step(lambda thread, _: [table.talks.voice.accept(thread)])
        with pytest.raises(OfferSuperseded):
            await table.talks.deliver()
        assert (await table.desk.stand(await table.case())).thread.in_force is None


async def test_an_acceptance_after_its_time_is_refused(tmp_path: Path) -> None:
    """T018: by the lab's clock the offer has ended, by the auditor's it has not."""
    async with negotiating(tmp_path, review="manual") as table:
        await proposed(table)
        await table.counter(MORE)
        await table.talks.sync()
        table.lab_clock.pass_(hours=2)
        await table.talks.step(lambda thread, _: [table.talks.voice.accept(thread)])
        with pytest.raises(OfferExpired):
            await table.talks.deliver()


async def test_nothing_is_signed_beside_an_acceptance(tmp_path: Path) -> None:
    """T019: refused by one's own rules, and by the lab where someone goes round them."""
    async with negotiating(tmp_path, review="manual") as table:
        await proposed(table)
        await table.counter(MORE)
        talks = table.talks
        await talks.sync()
        before = await talks.stand()
        await talks.step(lambda thread, _: [talks.voice.accept(thread)])
        await talks.deliver()

        body = before.thread.table
        assert body is not None
        other = talks.voice.offer(before.thread, body.offer.body, until(table.clock.now(), 1))
        with pytest.raises(SignatureLocked):
            await talks.step(lambda *_: [other])
        with pytest.raises(SignatureLocked):
            await table.lab.offer(other.envelope)
        document = Withdraw(engagement="audit-1", offer=body.offer.previous or "", withdrawn_at="2026-11-24T10:00:00Z")
        with pytest.raises(SignatureLocked):
            await table.lab.withdraw(sign_document(document, table.keys.agreement))


async def test_acceptances_that_cross_bring_nothing_into_force(tmp_path: Path) -> None:
    """T020."""
    async with negotiating(tmp_path, review="manual") as table:
        await proposed(table)
        talks = table.talks
        await table.counter(MORE)
        ours = await talks.stand()
        assert ours.thread.table is not None
        body = ours.thread.table.offer.body
        await talks.step(lambda thread, now: [talks.voice.offer(thread, body, until(now, 1))])
        await talks.deliver()
        await table.desk.accept(await table.case(), None)
        with pytest.raises(OfferSuperseded):
            await talks.sync()
        await talks.step(lambda thread, _: [talks.voice.accept(thread)])
        with pytest.raises(OfferSuperseded):
            await talks.deliver()
        assert (await talks.stand()).thread.in_force is None
        assert (await table.desk.stand(await table.case())).thread.in_force is None


async def test_a_conclusion_over_another_text_is_refused_by_both(tmp_path: Path) -> None:
    """T021: the lab concludes what the auditor accepted once, long expired, instead of what it has accepted now."""
    async with negotiating(tmp_path, review="manual") as table:
        await proposed(table)
        talks = table.talks
        texts = []
        for requests in ("5", "6"):
            await table.counter(f'[budget]\nrequests = "{requests}"\n')
            await talks.sync()
            stood = await talks.step(lambda thread, _: [talks.voice.accept(thread)])
            assert stood.thread.lock is not None
            texts.append(stood.thread.lock.agreement)
            if requests == "5":
                for clock in (table.clock, table.lab_clock):
                    clock.pass_(hours=2)
                with pytest.raises(OfferExpired):
                    await talks.deliver()
                await propose(table.proposal, lab=table.lab, journal=table.journal, keys=table.keys, clock=table.clock)
        await talks.deliver()
        first = texts[0]
        text = Agreement.parse(first.payload)
        both = sign_document(text, table.keys.agreement, table.desk.keys.agreement)
        await table.slip_in(Concluded("lab", both, text))
        with pytest.raises(AgreementDigestMismatch):
            await talks.sync()
        assert open_current(table.journal, table.keys) is None
        with pytest.raises(AgreementDigestMismatch):
            await table.lab.conclude(both)


async def test_an_amendment_of_a_protected_rule_is_refused_at_the_other_side(tmp_path: Path) -> None:
    """T027."""
    async with negotiating(tmp_path) as table:
        engagement = await proposed(table)
        talks, thread = table.talks, (await table.talks.stand()).thread
        assert thread.in_force is not None
        value = engagement.agreement.policy.json_value()
        rules = [rule for rule in value["rules"] if rule["id"] != "c1-regulator"]
        policy = validated(Policy, value | {"rules": rules, "protected": ["c2-regulator"]})
        body = amended(thread.in_force, table.clock.now(), {"policy": policy})
        message = talks.voice.offer(thread, body, until(table.clock.now(), 1))
        with pytest.raises(ProtectedClauseViolation):
            await talks.step(lambda *_: [message])
        with pytest.raises(ProtectedClauseViolation):
            await table.lab.offer(message.envelope)


async def test_a_protected_rule_changes_once_its_beneficiary_has_consented(tmp_path: Path) -> None:
    """T027, the other half: the regulator reads the amendment, signs it, and it comes into force."""
    signer = P256Signer.generate(party="regulator.example", use=KeyUse.AGREEMENT)
    folder = tmp_path / "regulator"
    (folder / "keys").mkdir(parents=True)
    (folder / "keys" / "agreement.pem").write_bytes(signer.to_pem())
    key = PartyKey(use="agreement", public=encode(signer.key.public))
    receive = PartyKey(use="receive", public=encode(WorkerKey(bytes(32)).public))  # its C5 may be sealed for a year
    regulator = Identity(role="regulator", id="regulator.example", keys=(key, receive))
    (folder / "identity.json").write_bytes(regulator.to_bytes())
    async with negotiating(tmp_path, review="outside_terms") as table:
        table.proposal = replace(table.proposal, recipients=[regulator])
        engagement = await proposed(table)
        talks, thread = table.talks, (await table.talks.stand()).thread
        assert thread.in_force is not None
        policy = changed(engagement.agreement.policy, "c1-regulator", oblige="RUN_CLOSED + P6BD")
        body = amended(thread.in_force, table.clock.now(), {"policy": policy})
        asked, signed = tmp_path / "amendment.json", tmp_path / "consent.json"
        asked.write_bytes(body.to_bytes())
        (tmp_path / "agreement.json").write_bytes(engagement.envelope.to_bytes())
        consent(asked, folder, tmp_path / "agreement.json", None)
        assert not signed.exists()
        consent(asked, folder, None, signed)
        consents = parse_envelope(signed.read_bytes())

        await talks.step(lambda thread, now: [talks.voice.offer(thread, body, until(now, 1), consents)])
        await talks.deliver()
        await table.desk.accept(await table.case(), None)
        current = await settle(talks, await talks.sync(), table.keys)
        assert current is not None
        assert current.agreement == (await table.engagement()).agreement == body

        other = P256Signer.generate(party="regulator.example", use=KeyUse.AGREEMENT)
        (folder / "keys" / "agreement.pem").write_bytes(other.to_pem())
        with pytest.raises(ConfigurationInvalid):
            consent(asked, folder, None, signed)


async def _retroactive(table: Table, policy: Policy) -> None:
    """The lab's own rules refuse to offer it, and the auditor refuses it where the lab goes round them."""
    case = await table.case()
    thread = (await table.desk.stand(case)).thread
    assert thread.in_force is not None
    body = amended(thread.in_force, table.lab_clock.now(), {"policy": policy})
    message = case.voice.offer(thread, body, until(table.lab_clock.now(), 1))
    draft = json.dumps({"policy": {"rules": policy.json_value()["rules"]}})
    with pytest.raises(AmendmentRetroactive):
        await table.counter(draft)
    await table.slip_in(message)
    with pytest.raises(AmendmentRetroactive):
        await table.talks.sync()
    assert (await table.talks.stand()).thread.table is None


async def test_an_amendment_that_forbids_what_was_released_is_refused(tmp_path: Path) -> None:
    """T028."""
    async with negotiating(tmp_path) as table:
        engagement = await proposed(table)
        for kind in ("close", "delivery", "release"):
            await table.log(kind)
        await _retroactive(
            table, changed(engagement.agreement.policy, "c3-regulator", permit="DELIVERED + P60BD", oblige=None)
        )


async def test_an_amendment_that_postpones_what_is_overdue_is_refused(tmp_path: Path) -> None:
    """T029."""
    async with negotiating(tmp_path) as table:
        engagement = await proposed(table)
        await table.log("close")
        await table.log("delivery")
        for clock in (table.clock, table.lab_clock):
            clock.pass_(days=60)
        await _retroactive(table, changed(engagement.agreement.policy, "c3-regulator", oblige="DELIVERED + P90BD"))


async def test_an_amendment_within_the_terms_is_in_force_from_its_leaf(tmp_path: Path) -> None:
    async with negotiating(tmp_path) as table:
        engagement = await proposed(table)
        talks = table.talks

        async def amend(requests: str) -> None:
            def decide(thread: Any, now: Any) -> Any:
                budget = engagement.agreement.budget.model_copy(update={"requests": requests})
                return [talks.voice.offer(thread, amended(thread.in_force, now, {"budget": budget}), until(now, 1))]

            await talks.step(decide)
            await talks.deliver()
            await settle(talks, await talks.sync(), table.keys)

        await amend("50")
        ours, theirs = open_current(table.journal, table.keys), await table.engagement()
        assert ours is not None
        assert ours.agreement.budget.requests == theirs.agreement.budget.requests == "50"
        assert ours.digest == theirs.digest == engagement.digest
        with pytest.raises(TermsRefused):
            await amend("999999999")
        assert theirs.agreement.budget.requests == "50"

        again = await table.engagements.reload(theirs)
        assert again.agreement == theirs.agreement
        assert again.log.size == 1


async def test_the_lab_offers_and_concludes_once_the_auditor_accepts(tmp_path: Path) -> None:
    async with negotiating(tmp_path) as table:
        await proposed(table)
        await table.counter('[budget]\nrequests = "77"\n')
        await table.talks.sync()
        await table.talks.step(lambda thread, _: [table.talks.voice.accept(thread)])
        await table.talks.deliver()
        engagement = await settle(table.talks, await table.talks.stand(), table.keys)
        assert engagement is not None
        assert engagement.agreement.budget.requests == "77"
        assert (await table.engagement()).agreement.budget.requests == "77"


async def test_a_person_decides_what_lies_outside_the_terms(tmp_path: Path) -> None:
    async with negotiating(tmp_path, review="outside_terms") as table:
        budget = Budget(requests="2000000", input_tokens="1", output_tokens="1", crashes=1, unrevealed=1)
        assert await proposed(table, changes={"budget": budget}) is None
        await table.desk.accept(await table.case(), None)
        engagement = await proposed(table)
        assert engagement is not None
        assert engagement.agreement.budget.requests == "2000000"


async def test_every_step_can_be_repeated_and_an_answer_that_was_lost_comes_again(tmp_path: Path) -> None:
    async with negotiating(tmp_path) as table:
        first = await proposed(table)
        await table.journal.remember("negotiation-heard/audit-1", b"0")
        await table.journal.remember("negotiation-said/audit-1", b"0")
        await table.talks.sync()
        again = await proposed(table)
        assert first.digest == again.digest
        assert len(await table.store.entries("auditor.example audit-1")) == 3


async def test_a_policy_that_breaks_a_rule_is_never_offered(tmp_path: Path) -> None:
    rule = {"id": "veto", "class": "C2", "to": "REGULATOR", "permit": "LAB_CONSENT(C2)"}
    async with negotiating(tmp_path) as table:
        with pytest.raises(PolicyUnsatisfiable):
            await proposed(table, changes={"policy": validated(Policy, {"rules": [rule]})})


async def test_an_end_by_both_stands_in_the_log(tmp_path: Path) -> None:
    async with negotiating(tmp_path) as table:
        await proposed(table)
        talks = table.talks
        await talks.step(
            lambda thread, now: [talks.voice.terminate(thread, grounds="both", reason="", effective=now, now=now)]
        )
        await talks.deliver()
        assert (await table.engagement()).ending is None
        case = await table.case()
        message = await table.desk.terminate(case, grounds="both", reason="", effective=None)
        assert message is not None
        assert await table.negotiating.end_ours("auditor.example", message) is not None
        await talks.sync()
        assert (await talks.stand()).thread.terminated is not None
        for engagement in (await table.engagement(), await table.engagements.reload(await table.engagement())):
            assert engagement.ending is not None
            with pytest.raises(PhaseViolation):
                engagement.check_open()


async def test_a_crash_between_the_leaf_and_its_note_loses_nothing(tmp_path: Path) -> None:
    """The amendment stands in the log, the negotiation does not know it yet: the log is right."""
    async with negotiating(tmp_path) as table:
        await proposed(table)
        talks = table.talks

        def decide(thread: Any, now: Any) -> Any:
            budget = thread.in_force.agreement.budget.model_copy(update={"requests": "50"})
            return [talks.voice.offer(thread, amended(thread.in_force, now, {"budget": budget}), until(now, 1))]

        await talks.step(decide)
        await talks.deliver()
        message = talks.voice.conclude((await talks.stand()).thread)
        await Amending(store=table.store).enter(await table.engagement(), message)
        table.lab_clock.pass_(hours=5)

        thread = (await table.desk.stand(await table.case())).thread
        assert thread.in_force is not None
        assert thread.in_force.digest == message.envelope.digest
