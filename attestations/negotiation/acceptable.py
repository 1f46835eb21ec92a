"""What nobody should sign, whoever offers it: the one place where negotiation and verifier ask the linter."""

from __future__ import annotations

from attestations.documents.agreement import Agreement
from attestations.escrow.dealing import check_escrow
from attestations.policy.lint import lint


def check_acceptable(agreement: Agreement) -> None:
    """Refuse an agreement that breaks a rule of the linter.

    Raises:
        PolicyUnsatisfiable: the facts name the rule.
    """
    lint(agreement.policy)
    check_escrow(agreement)
