"""Sharing labels (TLP 2.0): how loose a label each class bears, so that a passed-on file cannot be relabelled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from attestations.documents.engagement import Tlp
from attestations.errors import TlpDowngrade

LABELS: tuple[Tlp, ...] = get_args(Tlp)
_CEILINGS: dict[str, Tlp] = {
    "C0": "CLEAR",
    "C1": "CLEAR",
    "C2": "GREEN",
    "C3": "AMBER",
    "C4": "AMBER+STRICT",
}
_NEVER_CLEAR = ("C4", "C9", "C10")


def ceiling(content_class: str, *, public: bool) -> Tlp:
    """Return the loosest label of a class: RED from C5 on, until it is released to the public.

    Args:
        content_class: the class.
        public: whether it is, or has been, released to PUBLIC.
    """
    if public and content_class not in _NEVER_CLEAR:
        return "CLEAR"
    return _CEILINGS.get(content_class, "RED")


def strictest(labels: Iterable[Tlp]) -> Tlp:
    """Return the strictest of labels; CLEAR if there is none."""
    return max(labels, key=LABELS.index, default="CLEAR")


def check_label(label: Tlp | None, content_class: str, *, public: bool) -> None:
    """Refuse a label that is looser than the class allows; no label says the class's own.

    Raises:
        TlpDowngrade.
    """
    most = ceiling(content_class, public=public)
    if label is not None and LABELS.index(label) < LABELS.index(most):
        raise TlpDowngrade(
            f"{content_class} is labelled TLP:{label}, looser than TLP:{most}", content_class=content_class
        )
