"""What a holder decides with the whole verifier behind it: whether to release, and what a quorum's shares open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from attestations.container import Container
from attestations.documents.base import format_time
from attestations.documents.escrow import ShareRelease
from attestations.envelope import Envelope, sign_document
from attestations.errors import (
    CommitmentMismatch,
    DisclosureForbidden,
    EscrowQuorumUnmet,
    EscrowShareInvalid,
    EvidenceMissing,
    ExitCode,
)
from attestations.escrow.combining import gather, open_release, purpose, recover
from attestations.escrow.dealing import holder_of
from attestations.escrow.due import due_branches
from attestations.escrow.holding import LoggedManifest, hand_over, open_shares
from attestations.escrow.ordered import ordered_branches
from attestations.escrow.released import EscrowRelease, make_escrow_release
from attestations.keys import KeyUse, Signer
from attestations.recipients import recipients_of
from attestations.sealing import WorkerKey
from attestations.trust import Trust
from attestations.verify.engine import Request, examine
from attestations.verify.escrow import check_file
from attestations.verify.packages import PackageReader
from attestations.verify.parties import Parties
from attestations.verify.transcript import Transcript


@dataclass(frozen=True)
class Holder:
    """A party that holds shares, with its private keys."""

    name: str
    signer: Signer
    key: WorkerKey


@dataclass(frozen=True)
class Combination:
    """What a quorum's shares gave: the file, who took part, and whose shares were bad."""

    release: EscrowRelease
    recipient: str
    holders: tuple[str, ...]
    faults: tuple[EscrowShareInvalid, ...]


def prepare_release(
    container: Container,
    evidence: str,
    holder: Holder,
    trust: Trust,
    *,
    content_class: str,
    rule_id: str,
    at: datetime,
    now: datetime,
    order: str | None = None,
) -> Envelope:
    """Sign a release of a holder's shares, if the evidence shows that the class is surely overdue, or ordered, at `at`.

    Args:
        container: the evidence file presented.
        evidence: its SHA-256.
        holder: who releases.
        trust: whose keys the holder trusts.
        content_class: what is owed.
        rule_id: the rule that obliges it, or that waits for the order.
        at: when it is said to be overdue, or when the holder releases on the order.
        now: the holder's own clock; a time that has not come is refused.
        order: the name or digest of a regulator's order in the log; None for what is overdue.

    Raises:
        DisclosureForbidden: it is not surely overdue, has been released, or is owed to nobody.
        OrderInvalid, OrderOutOfScope, DisclosureEarly: the order does not let the holder release it at `at`.
        CommitmentMismatch: the evidence does not hold.
        EvidenceMissing: its log puts nothing in escrow for the class, or nothing for this holder.
        EscrowShareInvalid: the holder's share is not the one that was committed to.
    """
    if at > now:
        raise DisclosureForbidden("the time given has not come", rule=rule_id)
    agreed, log = _holds(container, trust, at)
    manifest = _manifest(log, content_class)
    own = holder_of(agreed.agreement, holder.name)
    if own.key(KeyUse.AGREEMENT).public != holder.signer.key.public:
        raise CommitmentMismatch(f"the agreement names another key of {holder.name} than yours", holder=holder.name)
    if order is None:
        rule, branches = due_branches(log.agreement, rule_id, content_class, log.events, at)
    else:
        rule, branches, order = ordered_branches(log.ledger, rule_id, content_class, order, at)
    wanted = {branch.id for branch in branches}
    shares = [
        share
        for share in open_shares(manifest.document, holder.key, holder=holder.name)
        if share.place.branch in wanted
    ]
    if not shares:
        raise EvidenceMissing(f"{holder.name} holds no share that could open {content_class} now", holder=holder.name)
    to = [party.key(KeyUse.RECEIVE) for party in recipients_of(agreed.agreement, rule.to)]
    if not to and rule.to != "PUBLIC":
        raise EvidenceMissing(f"the agreement names nobody as {rule.to}", rule=rule.id)
    document = ShareRelease(
        agreement=agreed.digest,
        manifest=manifest.digest,
        content_class=manifest.document.content_class,
        holder=holder.name,
        recipient=rule.to,
        ground="overdue" if order is None else "order",
        rule=rule.id,
        order=order,
        evidence=evidence,
        tree_size=str(log.size),
        root=log.root.hex(),
        shares=tuple(hand_over(shares, manifest=manifest.digest, holder=holder.name, to=to)),
        released_at=format_time(at),
    )
    return sign_document(document, holder.signer)


def combine_releases(
    container: Container, envelopes: Sequence[Envelope], trust: Trust, *, own: str | None, key: WorkerKey | None
) -> Combination:
    """Open a class from the releases of a quorum, and check that it opens what was sealed.

    Args:
        container: an evidence file; its log holds the escrow, its packages the ciphertext.
        envelopes: what the holders signed.
        trust: whose keys the reader trusts.
        own: the party that combines, where shares are sealed to it.
        key: that party's `receive` key.

    Raises:
        EscrowQuorumUnmet: too few holders, or for different purposes.
        EscrowShareInvalid: a bad share without which there is no quorum.
        KeyCommitmentMismatch: what the auditor put in escrow is not the registered key.
        PackageDecryptFailed: the sealed package does not open under the registered key.
        DisclosureEarly: a holder released before it was overdue.
    """
    agreed, log = _holds(container, trust, None)
    claimed = [ShareRelease.parse(envelope.payload) for envelope in envelopes]
    if len({purpose(item) for item in claimed}) != 1:
        raise EscrowQuorumUnmet("the holders released for different purposes")
    manifest = _manifest(log, claimed[0].content_class)
    releases = [open_release(envelope, agreed.agreement, manifest) for envelope in envelopes]
    gathered = gather(releases, manifest, own=own, key=key)
    registration = log.registration
    if registration is None:
        raise EvidenceMissing("no registration was found in the log")
    combined = recover(gathered, manifest, suite_id=registration.suite.id)
    used = [
        envelope
        for envelope, release in zip(envelopes, releases, strict=True)
        if any((share.branch, share.group, share.share) in combined.shares for share in release.shares)
    ]
    file = make_escrow_release(combined, used)
    opened = check_file(file, log, trust)
    packages = () if log.manifest is None else log.manifest.packages
    for package in packages:
        if package.content_class == combined.key.cls:
            PackageReader(container, package, combined.key).check()
    return Combination(
        file,
        opened.recipient,
        tuple(sorted(statement.holder for statement in opened.statements)),
        tuple(gathered.faults.values()),
    )


_BESIDE = (ExitCode.OK, ExitCode.DISCLOSURE_OVERDUE, ExitCode.DISCLOSURE_BREACH, ExitCode.ASSURANCE_OVERCLAIMED)


def _holds(container: Container, trust: Trust, at: datetime | None) -> tuple[Parties, Transcript]:
    found = examine(container, trust, Request(at=at))
    # What the auditor has done besides (released early, claimed too much) must not be what saves it from holders.
    if any(check.exit_code not in _BESIDE for check in found.report.checks):
        raise CommitmentMismatch(
            f"the evidence does not verify (exit code {int(found.report.exit_code)}); run `safeconduct verify` on it"
        )
    return found.ground()


def _manifest(log: Transcript, content_class: str) -> LoggedManifest:
    manifest = log.escrow.manifests.get(content_class)
    if manifest is None:
        raise EvidenceMissing(f"the log puts nothing in escrow for {content_class[:8]}")
    return manifest
