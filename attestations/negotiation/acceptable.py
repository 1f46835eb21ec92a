"""What nobody should sign, whoever offers it: the one place where negotiation and verifier ask the linter."""

from __future__ import annotations

from attestations.documents.agreement import Agreement
from attestations.escrow.dealing import check_escrow
from attestations.policy.agreement_rules import lint_agreement
from attestations.policy.finding import refuse


def check_acceptable(agreement: Agreement) -> None:
    """Refuse an agreement that breaks a rule of the linter.

    Raises:
        PolicyUnsatisfiable: the facts name the rule.
    """
    refuse(lint_agreement(agreement))
    check_escrow(agreement)
