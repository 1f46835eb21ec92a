"""Destroys what fine-tune jobs have made once their run is closed, and says so in the log, over one signature each."""

from __future__ import annotations

from attestations.documents.base import format_time
from attestations.documents.finetuning import VariantDestroyed
from attestations.envelope import sign_document
from lab_server.engagement import Engagement
from lab_server.keyring import LabKeys
from lab_server.ports import Worker


class Destroying:
    """Ends what outlives a run in the worker; asked again after any crash."""

    def __init__(self, *, keys: LabKeys, worker: Worker) -> None:
        self._keys = keys
        self._worker = worker

    async def destroy(self, engagement: Engagement) -> list[str]:
        """Destroy and log what a closed run has left, and return the names of its variants.

        Raises:
            WorkerUnavailable: no worker runs; nothing is said.
            StoreFailed: it was destroyed, and that could not be logged yet.
        """
        training = engagement.training
        # A job whose start never came into a Record has left something, too: the worker is asked wherever one may run.
        may = engagement.agreement.fine_tuning is not None or training.jobs
        if not engagement.run_closed or not may or engagement.forgotten:
            return []
        await self._worker.forget(engagement.digest)
        waiting = [job for job in training.made() if job.variant not in engagement.destroyed]
        for made in waiting:
            document = VariantDestroyed(
                agreement=engagement.digest,
                variant=made.variant,
                job=made.job,
                adapter=made.adapter,
                manifest=made.manifest,
                destroyed_at=format_time(engagement.log.time()),
            )
            await engagement.log.append_receipted("variant_destroyed", sign_document(document, self._keys.record))
            engagement.destroyed.add(made.variant)
        engagement.forgotten = True
        return [made.variant for made in waiting]
