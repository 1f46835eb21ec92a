"""Every published reason and the error it stands for."""

from __future__ import annotations

import attestations.errors
from attestations.errors import SafeconductError, reason_of

BY_REASON: dict[str, type[SafeconductError]] = {
    reason_of(kind): kind
    for kind in vars(attestations.errors).values()
    if isinstance(kind, type) and issubclass(kind, SafeconductError)
}
