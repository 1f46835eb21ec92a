"""Stopping a lab while it answers: what was promised is answered and logged first, whoever asks it to stop."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from safeconduct.v1 import access_service_pb2 as access
from tests.integration.gateway import audited

SLOW = {"otherwise": "these words come slowly", "seconds_per_token": 0.6}


@pytest.mark.parametrize("how", ["SIGTERM to the gateway", "Ctrl-C in its terminal"])
async def test_answers_under_way_end_before_the_lab_does(tmp_path: Path, how: str) -> None:
    async with audited(tmp_path, script=SLOW) as (lab, auditor):
        lanes = [await auditor.open_session(f"lane-{number}") for number in range(3)]
        under_way = []
        for lane in lanes:
            prepared = auditor.prepare(lane)
            stream = auditor.stream()
            ended = await auditor.promised(stream, prepared)
            await stream.write(
                access.ExchangeRequest(reveal=access.Reveal(sealed=prepared.sealed, seed_share=prepared.seed_share))
            )
            under_way.append((stream, ended))
        unused = auditor.stream()
        await auditor.promised(unused, auditor.prepare(await auditor.open_session("lane-3")))
        unused.cancel()  # its Reveal never comes

        started = time.monotonic()
        if how.startswith("SIGTERM"):
            os.kill(lab.pid, signal.SIGTERM)
        else:
            for pid in (lab.worker_pid(), lab.pid):  # a terminal signals the whole group
                os.kill(pid, signal.SIGINT)
        for stream, ended in under_way:
            await auditor.finish(stream, ended)
            stream.cancel()
        assert [ended.status for _, ended in under_way] == ["COMPLETED"] * 3
        assert await lab.stop() == 0
        assert time.monotonic() - started < 20

        code, out, errors = await lab.command("fsck")
        assert (code, errors) == (0, ""), errors
        assert "4 promises (1 open), 3 answers kept" in out
        await lab.start()
        assert "1 aborted_crash; 0 open" in (await lab.command("status"))[1]
