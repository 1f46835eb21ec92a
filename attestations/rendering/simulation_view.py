"""A simulation as rows for a terminal or a page."""

from __future__ import annotations

from attestations.policy.simulate import Simulation
from attestations.policy.words import class_words, instant_words, recipient_words
from attestations.rendering.timeline import NAMES, event_label


def event_rows(simulation: Simulation) -> tuple[tuple[str, str], ...]:
    """Return every assumed event and when it happens."""
    return tuple(
        (event_label(event.name, event.argument), instant_words(event.at.upper)) for event in simulation.events
    )


def state_rows(simulation: Simulation) -> tuple[tuple[str, str, str, str], ...]:
    """Return one row for each state of each class and recipient: what, for whom, which state, from when."""
    return tuple(
        (
            class_words(track.content_class),
            recipient_words(track.to),
            NAMES[span.state],
            instant_words(span.start),
        )
        for track in simulation.tracks
        for span in track.spans
    )
