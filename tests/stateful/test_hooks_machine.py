"""Hook requests through crashes, repeats and sessions that ask at once: I11 to I15, exact budgets, and nobody blamed.

The gateway, the worker and its hooks are the real ones, over a store and a folder that survive them. After every step
the leaves that came are read as a verifier reads them, and the auditor's own ledger takes Records in the order it
happens to fetch them.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from attestations.adjudication.case import Case
from attestations.adjudication.evidence import weigh
from attestations.adjudication.rules import blame
from attestations.documents.base import encode, format_time
from attestations.documents.engagement import RuntimeStatement
from attestations.documents.exchange import Intent, Promise, Record, Refusal, TokenBudget
from attestations.documents.finetuning import (
    ENDED,
    CancelTraining,
    Demonstration,
    FineTuneRequest,
    Recipe,
    StartTraining,
    TrainingStatement,
    WaitTraining,
    job_name,
)
from attestations.documents.sandboxing import Close, Exec, Open, SandboxRequest
from attestations.envelope import Envelope
from attestations.errors import LogRollback, StoreFailed
from attestations.log_entries import parse_entry
from attestations.training import TrainingLedger
from attestations.verify.exchanges import ExchangePass
from attestations.verify.parties import read_agreement
from tests.support.hooked_auditor import Asking
from tests.support.hooked_lab import GRANT, TOKENS_A_STEP, HookedLab
from tests.support.small_auditor import Ended, Lane, Prepared

SESSIONS = ("s-0", "s-1", "s-2")
MOSTLY = st.sampled_from([True, True, True, False])
SLOW = st.sampled_from([0, 100])
GOES = st.sampled_from(["go", "go", "go", "die"])
PICK = st.integers(0, 7)
CODES = {
    *(None, "GATEWAY_RESTARTED", "WORKER_DIED", "WORKER_KEY_STALE", "TRAINER_BUSY", "TRAINER_DIED", "JOB_UNKNOWN"),
    *("NO_SANDBOX", "TOO_MANY_SANDBOXES"),
}


@dataclass
class Desk:
    """One session: its place, and the exchange it is about."""

    lane: Lane
    prepared: Prepared | None = None
    revealed: bool = False


class Hooks(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.place = tempfile.TemporaryDirectory()
        self.lab = HookedLab(Path(self.place.name) / "fine-tuning")
        self.do(self.lab.start())
        self.parties = read_agreement(self.lab.engagement.envelope, self.lab.world.trust())
        self.verifier, self.own = ExchangePass(self.parties), TrainingLedger()
        self.auditor, self.desks, self.read = Asking(self.lab), dict[str, Desk](), 0
        self.starts = self.records = 0
        self.meant: list[str] = []  # the names of all jobs that were ever asked for
        self.documents: list[Envelope] = []
        self.answers: dict[tuple[str, int, str], str] = {}
        self.promises: dict[tuple[str, int], int] = {}
        self.charged = 0
        self.heard: list[tuple[Intent, Record, int]] = []  # Records that wait for that of their job's start

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 10))

    def settle(self, ticks: int = 30) -> None:
        async def wait() -> None:
            for _ in range(ticks):
                await asyncio.sleep(0)

        self.do(wait())

    # What the auditor does.

    @initialize(early=st.booleans())
    def begin(self, *, early: bool) -> None:
        for name in SESSIONS:
            grant = self.do(self.lab.session(name))
            self.desks[name] = Desk(Lane(name, grant.digest))
        self.auditor.runtime = self.do(self.lab.runtime())
        slow, then = (100, ["go"]) if early else (0, [])
        # Most of what can go wrong needs a job that runs, or one that begins and is asked about already.
        self.ask_to_train(pick=0, steps=4, at_once=True, slow=slow, then=then)
        if early:
            self.ask_how_a_job_stands(pick=0, job=0, cancel=1, slow=0, then=[], early=True)
        self.trainer_goes_on(0, ["go", "go"])
        self.fetch({0}, 20)

    def free(self, pick: int) -> Desk | None:
        """Return a session that can ask, once those that were answered have read it."""
        for desk in self.desks.values():
            if desk.prepared is not None and desk.revealed:
                self.send(desk)
        desks = [desk for desk in self.desks.values() if desk.prepared is None]
        return desks[pick % len(desks)] if desks else None

    def intend(self, desk: Desk, asked: Any, tokens: int = 0, *, at_once: bool = True, **changes: Any) -> None:
        desk.prepared = self.auditor.prepare(
            desk.lane,
            asked=asked,
            budget_max=TokenBudget(input_tokens=tokens, output_tokens=0),
            not_after=format_time(self.lab.clock.at + timedelta(minutes=5)),
            **changes,
        )
        desk.revealed = False
        self.last_intended = Intent.parse(desk.prepared.envelope.payload).plaintext_commit
        self.send(desk)
        if at_once and desk.prepared is not None:
            self.open_to_the_lab(desk)

    def send(self, desk: Desk) -> None:
        """Send the Intent of a desk, whether or not it was sent before, and take what comes."""
        assert desk.prepared is not None
        envelope = desk.prepared.envelope
        intent = Intent.parse(envelope.payload)
        try:
            answer = self.do(self.lab.exchanging.intend(self.lab.engagement, envelope, intent))
        except StoreFailed:
            self.lab.store.full = False
            self.do(self.lab.start_gateway())
            return
        documents = [item for item in answer if isinstance(item, Envelope)]
        self.documents += [envelope, *documents]
        for document in documents:
            known = self.answers.setdefault((intent.session, intent.seq, document.payload_type), document.digest)
            assert known == document.digest, "I13: another answer for one place"
        last = documents[-1]
        if last.payload_type == Promise.payload_type:
            self.promises[intent.session, intent.seq] = int(Promise.parse(last.payload).log_index)
            return
        if last.payload_type == Record.payload_type:
            record = Record.parse(last.payload)
            self.heard.append((intent, record, int(Promise.parse(documents[0].payload).log_index)))
            self.take_what_was_heard()
        else:
            reason = Refusal.parse(last.payload).reason
            assert reason in {"BUDGET_EXHAUSTED", "SCOPE_EXCEEDED"}, reason
        self.auditor.move(desk.lane, _ended(last))
        desk.prepared = None

    def take_what_was_heard(self) -> None:
        """Take Records as they came, but the start of a job before all others about it."""
        starts = {job_name(intent.plaintext_commit) for intent, _, _ in self.heard}
        self.heard.sort(key=lambda item: _job(item[1]) != job_name(item[0].plaintext_commit))
        waiting = []
        for intent, record, promised in self.heard:
            job = _job(record)
            if job is None or job in self.own.jobs or job in starts:
                self.own.take(self.lab.engagement.agreement, intent, record, promised=promised)
            else:
                waiting.append((intent, record, promised))
        self.heard = waiting

    @rule(pick=PICK, steps=st.integers(2, 5), at_once=MOSTLY, slow=SLOW, then=st.lists(GOES, max_size=1))
    def ask_to_train(
        self,
        pick: int,
        steps: int,
        at_once: bool,  # noqa: FBT001
        slow: int = 0,
        then: list[str] | None = None,
    ) -> None:
        desk = self.free(pick)
        if desk is None:
            return
        self.lab.slow[desk.lane.name] = slow
        shown = (Demonstration(prompt="p", completion="c"),)
        self.starts += 1
        salt = encode(bytes([self.starts] * 32))
        start = StartTraining(recipe=Recipe(epochs=steps), demonstrations=shown, salt=salt)
        self.intend(desk, FineTuneRequest(action=start), steps * TOKENS_A_STEP, at_once=at_once)
        self.meant.append(job_name(self.last_intended))
        self.trainer_goes_on(-1, then or [])  # the one that was begun last

    @rule(
        pick=PICK, job=PICK, cancel=st.integers(0, 9), slow=SLOW, then=st.lists(GOES, max_size=2), early=st.booleans()
    )
    def ask_how_a_job_stands(
        self, pick: int, job: int, cancel: int, slow: int, then: list[str], *, early: bool
    ) -> None:
        desk, jobs = self.free(pick), self.own.jobs
        names = [name for name, stands in jobs.items() if stands.state not in ENDED] or list(jobs)
        if early:  # of jobs whose start no Record holds yet, or ever will
            names = [name for name in reversed(self.meant) if name not in jobs][:1] or names
        if desk is None or not names:
            return
        name = names[job % len(names)]
        action = CancelTraining(job=name) if cancel == 0 else WaitTraining(job=name)
        self.lab.slow[desk.lane.name] = slow  # how long the answer is on its way from worker to gateway
        self.intend(desk, FineTuneRequest(action=action))
        self.trainer_goes_on(job, then)

    @rule(pick=PICK, what=st.sampled_from([Open(), Exec(argv=("true",)), Close(), "what was made"]))
    def ask_something_else(self, pick: int, what: Any) -> None:
        desk = self.free(pick)
        if desk is not None and what != "what was made":
            self.intend(desk, SandboxRequest(action=what))
        elif desk is not None and self.own.variants:
            self.intend(desk, None, 256, variant=next(iter(self.own.variants)))

    @rule(pick=PICK, again=st.booleans())
    def reveal(self, pick: int, again: bool) -> None:  # noqa: FBT001
        desks = [desk for desk in self.desks.values() if desk.prepared is not None and (again or not desk.revealed)]
        if not desks:
            return
        desk = desks[pick % len(desks)]
        assert desk.prepared is not None
        intent = Intent.parse(desk.prepared.envelope.payload)
        if (intent.session, intent.seq) not in self.promises:  # I14: never before the Promise is held
            self.send(desk)
        elif desk.prepared is not None:
            self.open_to_the_lab(desk)

    def open_to_the_lab(self, desk: Desk) -> None:
        assert desk.prepared is not None
        intent = Intent.parse(desk.prepared.envelope.payload)
        session = self.lab.engagement.session(intent.session)
        self.do(
            self.lab.exchanging.reveal(
                self.lab.engagement, session, intent, desk.prepared.sealed, desk.prepared.seed_share
            )
        )
        desk.revealed = True
        while "+" in intent.variant and session.open is not None:  # what was made is loaded in a thread of its own
            self.settle()

    @rule(picks=st.sets(st.integers(0, 2), min_size=1), ticks=st.sampled_from([0, 20, 200]))
    def fetch(self, picks: set[int], ticks: int) -> None:
        """Ask for what is there already, as after a lost connection; a Promise that still runs is shown again."""
        self.settle(ticks)
        for pick in sorted(picks, reverse=True):
            desk = self.desks[SESSIONS[pick]]
            if desk.prepared is not None:
                self.send(desk)

    # What happens at the lab.

    @rule(job=PICK, goes=st.lists(GOES, min_size=1, max_size=3))
    def trainer_goes_on(self, job: int, goes: list[str]) -> None:
        for said in goes:
            names = self.lab.trainer.waiting()
            if names:
                self.lab.trainer.permits[names[job % len(names)]].put_nowait(said)
            self.settle(6)

    @rule(what=st.sampled_from(["nothing", "nothing", "gateway", "worker", "disk"]))
    def something_breaks(self, what: str) -> None:
        if what == "gateway":
            self.do(self.lab.start_gateway())
        elif what == "worker":
            self.do(self.lab.kill_worker())
            self.settle(20)
            self.lab.start_worker()
            self.auditor.runtime = self.do(self.lab.runtime())
        elif what == "disk":  # what is promised or recorded now is not kept, and the gateway reads its store again
            self.lab.store.full = True
            self.settle(3)
            self.lab.store.full = False
            if self.lab.engagement.log._broken is not None:
                self.do(self.lab.start_gateway())

    # What holds.

    @invariant()
    def the_log_is_what_a_verifier_accepts(self) -> None:
        for line in self.lab.leaves(self.read):
            entry = parse_entry(line)
            if entry.kind == "runtime":
                document = entry.documents[0]
                self.verifier.receipt(entry, self.read)
                self.verifier.runtime(document.digest, RuntimeStatement.parse(document.payload))
            elif entry.kind == "registration":
                self.verifier.receipt(entry, self.read)
            else:
                getattr(self.verifier, entry.kind)(entry, self.read)
            self.documents += entry.documents
            if entry.kind == "record":
                self.recorded(Record.parse(entry.documents[-1].payload))
            self.read += 1
        self.budgets_are_exact()

    def recorded(self, record: Record) -> None:
        # No honest lab is made out to lie by what else happens, and nothing in it breaks.
        assert record.code in CODES, record.code
        self.charged += record.usage.input_tokens
        self.records += 1

    def budgets_are_exact(self) -> None:
        book, ledger = self.lab.engagement.book, self.verifier.training
        assert (book.input_tokens, book.requests) == (self.charged, self.records)
        assert ledger.tokens == self.lab.engagement.training.tokens <= int(GRANT.max_train_tokens)
        assert len(ledger.jobs) <= GRANT.max_jobs

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            self.do(self.lab.kill_worker())
            self.loop.run_until_complete(_end_all())
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            self.place.cleanup()

    def finish(self) -> None:
        """End everything, and hold the whole against what must be true at the end."""
        for _ in range(3):
            for name in set(self.lab.trainer.begun):
                for _ in range(8):
                    self.lab.trainer.permits[name].put_nowait("go")
            self.settle(60)
        self.do(self.lab.start_gateway())  # whatever is open now is aborted, on record
        for desk in self.desks.values():
            if desk.prepared is not None:
                self.send(desk)
        assert not self.heard, "a job is told of whose start no session was told"
        self.the_log_is_what_a_verifier_accepts()
        self.verifier.finish()  # I11, I12: every Promise has its Record
        for name, job in self.own.jobs.items():
            assert job.state not in ENDED or job == self.verifier.training.jobs[name]
        self.nobody_is_blamed()
        self.do(self.lab.forget(self.lab.engagement.digest))
        left = [path for path in self.lab.folder.rglob("*") if path.is_file()] if self.lab.folder.exists() else []
        assert left == []
        assert not self.lab.provider.alive
        self.an_old_backup_signs_nothing()

    def nobody_is_blamed(self) -> None:
        unique = {document.digest: document for document in self.documents}
        notes = (self.lab.engagement.log.checkpoint().text,)
        case = Case(agreement=self.lab.engagement.envelope, documents=tuple(unique.values()), checkpoints=notes)
        assert blame(weigh(case, self.parties, self.lab.world.trust(), None)) == []

    def an_old_backup_signs_nothing(self) -> None:
        """I15: a gateway that is started from a store behind what was cosigned signs nothing."""
        digest, log = self.lab.engagement.digest, self.lab.engagement.log
        self.do(self.lab.store.save_cosigned(digest, log.size, log.checkpoint().text))
        behind = deepcopy(self.lab.store)
        behind._leaves[digest].pop()
        self.do(self.lab.start_gateway(behind))
        with pytest.raises(LogRollback):
            self.do(self.lab.session("s-new"))
        with pytest.raises(LogRollback):
            self.lab.engagement.log.checkpoint()


def _job(record: Record) -> str | None:
    return record.hook.job if isinstance(record.hook, TrainingStatement) else None


async def _end_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _ended(last: Envelope) -> Any:
    return Ended(record=last) if last.payload_type == Record.payload_type else Ended(refusal=last)


TestHooks = Hooks.TestCase
# The same examples every time, so that a change is judged by itself; more and others with SAFECONDUCT_EXPLORE=1000.
EXPLORE = int(os.environ.get("SAFECONDUCT_EXPLORE", "0"))
TestHooks.settings = settings(
    max_examples=EXPLORE or 60,
    derandomize=not EXPLORE,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
