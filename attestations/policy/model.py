"""The policy as both sides sign it: one rule for each (class, recipient), each with what permits and what obliges.

`docs/spec/policy.md` is the normative page; the study behind it is protocol.md 4.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from attestations.documents.base import Name, Part
from attestations.policy.formula import EVENTS, After, AllOf, AnyOf, Event, Formula, parse_duration, parse_formula

RuleClass = Literal["C0", "C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "C10"]

STAGE_CLASSES: dict[str, tuple[RuleClass, ...]] = {
    "S0": ("C0",),
    "S1": ("C1",),
    "S2": ("C2",),
    "S3": ("C3",),
    "S4": ("C5", "C6"),
    "S5": ("C7", "C8"),
}


def _is_formula(value: Any) -> Any:
    parse_formula(value)
    return _one_form(value)


def _one_form(value: Any) -> Any:
    # Read from bytes a formula holds lists, read from values tuples: two policies of equal bytes must be equal.
    if isinstance(value, dict):
        return {word: tuple(_one_form(part) for part in parts) for word, parts in value.items()}
    return value


def _is_duration(text: str) -> str:
    parse_duration(text)
    return text


def _is_event(text: str) -> str:
    if text not in EVENTS:
        raise ValueError("an unknown event")
    return text


def _is_date(text: str) -> str:
    if date.fromisoformat(text).isoformat() != text:
        raise ValueError("not a date as 2026-12-25")
    return text


FormulaText = Annotated[Any, AfterValidator(_is_formula)]
DurationText = Annotated[str, AfterValidator(_is_duration)]
Recipient = Annotated[
    str,
    StringConstraints(
        pattern=r"^(LAB_SAFETY|LAB_ALL|REGULATOR|PEER_AUDITOR|PUBLIC|CLEARED\([a-z0-9-]{1,32}\)|ESCROW\([a-z0-9-]{1,32}\))$"
    ),
]


Subset = Annotated[str, StringConstraints(pattern=r"^C([0-9]|10)(:subset)?$")]
"""A class, or the smallest part of it that the emergency needs (`C7:subset`)."""
Initiator = Literal["AUDITOR", "LAB_SAFETY", "REGULATOR"]
Reason = Annotated[str, StringConstraints(pattern=r"\S", max_length=2000)]


def _is_empty(value: object) -> bool:
    return value is None or value == ()


class Calendar(Part):
    """Which days are not business days besides Saturdays and Sundays; all dates are UTC."""

    holidays: tuple[Annotated[str, AfterValidator(_is_date)], ...] = Field(default=(), max_length=1000)


class Rule(Part):
    """When one class may, and when it must, reach one recipient.

    `escrow` names the holders who release it when the obligation is overdue, `redact` the classes whose fields stay
    closed in it, `exceptional` why a publication waits longer than the profile allows.
    """

    id: Name
    content_class: RuleClass = Field(alias="class")
    to: Recipient
    permit: FormulaText
    oblige: FormulaText | None = None
    escrow: tuple[Name, ...] = Field(default=(), max_length=16)
    redact: tuple[RuleClass, ...] = Field(default=(), max_length=11, exclude_if=_is_empty)
    exceptional: Reason | None = Field(default=None, exclude_if=_is_empty)

    def permits(self) -> Formula:
        """Return the parsed permission."""
        return parse_formula(self.permit)

    def obliges(self) -> Formula | None:
        """Return the parsed obligation, if there is one."""
        return None if self.oblige is None else parse_formula(self.oblige)


class Emergency(Part):
    """Who may raise the alarm about which classes, who is told at once, and whose two keys let others know as well.

    Whatever is named in part (`C7:subset`) or whole, an emergency opens nothing but the items its notice names.
    """

    initiators: tuple[Initiator, ...] = Field(min_length=1, max_length=3)
    two_key: tuple[Initiator, ...] = Field(default=(), max_length=3)
    classes: tuple[Subset, ...] = Field(min_length=1, max_length=22)
    to: tuple[Recipient, ...] = Field(min_length=1, max_length=32)
    review: DurationText

    def reaches(self, recipient: str) -> bool:
        """Tell whether some emergency may name a recipient: never the public or escrow, all the lab if agreed."""
        if recipient in (*ALWAYS_TOLD, "PEER_AUDITOR") or recipient.startswith("CLEARED("):
            return True
        return recipient == "LAB_ALL" and recipient in self.to

    def told_at_once(self, content_class: str | None, recipient: str) -> bool:
        """Tell whether one initiator may show a recipient items of a class; None asks about the bare alarm."""
        if recipient not in ALWAYS_TOLD and recipient not in self.to:
            return False
        return content_class is None or content_class in {name.partition(":")[0] for name in self.classes}


ALWAYS_TOLD = ("LAB_SAFETY", "REGULATOR")
STANDARD_EMERGENCY = Emergency(
    initiators=("AUDITOR", "LAB_SAFETY", "REGULATOR"),
    two_key=("AUDITOR", "REGULATOR"),
    classes=tuple(f"C{number}:subset" for number in range(11)),
    to=ALWAYS_TOLD,
    review="P10BD",
)
"""What holds where a policy has no section on emergencies: nobody is gagged."""


class Policy(Part):
    """Every rule, the event that times count from, and the bound on holds. Without a rule a release is forbidden.

    `min_review` is how long the lab may read before anything is public without its consent. `escrow` is absent where
    obliged rules name holders, or `none` with the reason why nobody can release in the auditor's place.
    """

    v: Literal["safeconduct-policy/v1"] = "safeconduct-policy/v1"
    anchor: Annotated[str, AfterValidator(_is_event)] = "RUN_CLOSED"
    calendar: Calendar = Calendar()
    max_hold: DurationText = "P0BD"
    rules: tuple[Rule, ...] = Field(min_length=1, max_length=128)
    protected: tuple[Name, ...] = ()
    # Absent in older policies: left out of the bytes when empty, so that their digests stay the same.
    min_review: DurationText | None = Field(default=None, exclude_if=_is_empty)
    emergency: Emergency | None = Field(default=None, exclude_if=_is_empty)
    profile: Literal["eu-gpai-cop"] | None = Field(default=None, exclude_if=_is_empty)
    escrow: Literal["none"] | None = Field(default=None, exclude_if=_is_empty)
    escrow_reason: Reason | None = Field(default=None, exclude_if=_is_empty)

    @model_validator(mode="after")
    def _one_rule_each(self) -> Policy:
        if len({rule.id for rule in self.rules}) != len(self.rules):
            raise ValueError("two rules of one id")
        if len({(rule.content_class, rule.to) for rule in self.rules}) != len(self.rules):
            raise ValueError("two rules for one class and recipient")
        if (self.escrow is None) != (self.escrow_reason is None):
            raise ValueError("no escrow needs its reason, and a reason needs no escrow")
        return self

    def rule(self, content_class: str, recipient: str) -> Rule | None:
        """Return the rule for this class and recipient, or None; existence and commitments have one anyway."""
        wanted = (content_class, recipient)
        return next((rule for rule in (*self.rules, *FLOOR) if (rule.content_class, rule.to) == wanted), None)

    def emergencies(self) -> Emergency:
        """Return the section on emergencies, or what holds without one."""
        return self.emergency or STANDARD_EMERGENCY

    def permits(self, rule: Rule) -> Formula:
        """Return what permits a rule under this policy: its own formula and, for the public, floor and review."""
        own = rule.permits()
        if rule.to == "PUBLIC" and rule.content_class in FLOOR_CLASSES and own != CLOSED:
            return AnyOf((own, CLOSED))  # a rule of its own may say sooner, and never later
        if self.min_review is None or rule.to != "PUBLIC" or rule.content_class in FLOOR_CLASSES:
            return own
        read = After(None, parse_duration(self.min_review), hold=False)
        return AllOf((own, AnyOf((Event("LAB_CONSENT", rule.content_class), read))))


CLOSED = Event("RUN_CLOSED", None)
FLOOR_CLASSES = ("C0", "C1")  # who audits whom, and commitments: they hide what they stand for, so nobody seals them
UNSEALED = (*FLOOR_CLASSES, "C4")  # findings are written after the run: in no package, and in nobody's escrow
FLOOR: tuple[Rule, ...] = tuple(
    Rule(id=f"floor-{name.lower()}", content_class=name, to="PUBLIC", permit="RUN_CLOSED") for name in ("C0", "C1")
)
"""What holds where a policy has no rule of its own."""
