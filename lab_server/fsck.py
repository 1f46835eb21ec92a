"""Derives everything again from stored bytes alone: hashes, roots, signatures, sequences, meters, budgets, packages."""

from __future__ import annotations

from attestations.checkpoint import cosignature_time, open_checkpoint
from attestations.documents.agreement import Agreement
from attestations.documents.engagement import PackageManifest
from attestations.documents.exchange import Record
from attestations.envelope import open_document, parse_envelope
from attestations.errors import (
    BudgetExhausted,
    CheckpointInvalid,
    LogRollback,
    PromiseUnfulfilled,
    ResponseCommitmentMismatch,
    SafeconductError,
)
from attestations.frames import frames_root
from attestations.keys import KeyUse
from attestations.log_entries import parse_entry
from attestations.merkle import Frontier, leaf_hash
from attestations.notes import parse_note
from attestations.verify.parties import Parties
from attestations.verify.transcript import read_log
from lab_server.disclosing import check_stored
from lab_server.home import Home
from lab_server.ports import StoredAgreement
from lab_server.reading import reading_store
from lab_server.storage.sqlite import SqliteStore


async def check_store(home: Home) -> list[str]:
    """Return one line for each engagement that holds.

    Raises:
        SafeconductError: the first thing that does not hold; its message names the engagement.
    """
    lines = []
    async with reading_store(home) as store:
        for stored in await store.agreements():
            try:
                lines.append(await _check_engagement(store, stored))
            except SafeconductError as error:
                error.message = f"agreement {stored.digest[:16]}: {error.message}"
                raise
    return lines or ["no agreement is in force: nothing to check"]


async def _check_engagement(store: SqliteStore, stored: StoredAgreement) -> str:
    parties = _parties(stored)
    leaves = [leaf async for leaf in store.leaves(stored.digest, 0)]
    for index, leaf in enumerate(leaves):
        if leaf.position != index:
            raise LogRollback("the stored log has a gap", leaf=str(index))
    log = read_log((leaf.data for leaf in leaves), parties)
    open_promises = 0
    for error in log.errors.values():
        # A Promise may be open in a store that is in use; it gets its Record at the next start.
        if not isinstance(error, PromiseUnfulfilled):
            raise error
        open_promises += 1
    await _check_cosigned(store, parties, [leaf.data for leaf in leaves])
    frames = await _check_frames(store, stored.digest, [leaf.data for leaf in leaves if leaf.kind == "record"])
    assert log.exchanges is not None  # noqa: S101 - read_log sets it
    meter, budget = log.exchanges.tally.meter, log.agreement.budget
    for name in ("requests", "input_tokens", "output_tokens"):
        if int(getattr(meter, name)) > int(getattr(budget, name)):
            raise BudgetExhausted(f"more {name} were used than agreed", rule=name)
    packages = 0
    if log.manifest is not None and log.delivered:
        packages = _check_packages(store, stored.digest, log.manifest)
    counts = log.exchanges.tally.counts
    return (
        f"{parties.agreement.engagement}: {log.size} leaves, {counts['promised']} promises"
        f"{' (1 open)' if open_promises else ''}, {frames} answers kept, {packages} packages: all hold"
    )


def _parties(stored: StoredAgreement) -> Parties:
    envelope = parse_envelope(stored.envelope)
    claimed = Agreement.parse(envelope.payload)
    required = (claimed.lab_key(KeyUse.AGREEMENT), claimed.auditor_key(KeyUse.AGREEMENT))
    agreement = open_document(envelope, Agreement, required=required)
    if envelope.digest != stored.digest:
        raise CheckpointInvalid("the stored agreement is not the one it is filed under")
    return Parties(
        agreement=agreement,
        digest=envelope.digest,
        lab_record=agreement.lab_key(KeyUse.RECORD),
        lab_agreement=agreement.lab_key(KeyUse.AGREEMENT),
        lab_log=agreement.lab_key(KeyUse.LOG),
        auditor_agreement=agreement.auditor_key(KeyUse.AGREEMENT),
        auditor_exchange=agreement.auditor_key(KeyUse.EXCHANGE),
        auditor_cosign=agreement.auditor_key(KeyUse.COSIGN),
        auditor_publication=agreement.auditor_key(KeyUse.PUBLICATION),
    )


async def _check_cosigned(store: SqliteStore, parties: Parties, leaves: list[bytes]) -> None:
    text = await store.cosigned(parties.digest)
    if text is None:
        return
    note = parse_note(text)
    checkpoint = open_checkpoint(note, origin=parties.agreement.origin, log_key=parties.lab_log)
    name = f"{parties.agreement.party('auditor').id}/cosign"
    if cosignature_time(note, name=name, key=parties.auditor_cosign) is None:
        raise CheckpointInvalid("a stored checkpoint lacks the auditor's cosignature")
    if checkpoint.size > len(leaves):
        raise LogRollback("the stored log is shorter than its cosigned checkpoint", cosigned=str(checkpoint.size))
    frontier = Frontier()
    for leaf in leaves[: checkpoint.size]:
        frontier.append(leaf_hash(leaf))
    if frontier.root() != checkpoint.root:
        raise LogRollback("the stored log is not the one that was cosigned", cosigned=str(checkpoint.size))


async def _check_frames(store: SqliteStore, agreement: str, records: list[bytes]) -> int:
    kept = 0
    for data in records:
        record = Record.parse(parse_entry(data).documents[-1].payload)
        frames = await store.frames(agreement, record.session, record.seq, now="")
        if not frames:
            continue
        kept += 1
        if record.response is None or frames_root(frame.ciphertext for frame in frames) != record.response.frames_root:
            raise ResponseCommitmentMismatch("stored frames are not those of their Record", seq=str(record.seq))
    return kept


def _check_packages(store: SqliteStore, agreement: str, manifest: PackageManifest) -> int:
    for package in manifest.packages:
        check_stored(package, store.package(agreement, f"{package.content_class}.sealed"))
    return len(manifest.packages)
