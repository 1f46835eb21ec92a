"""The job process: one job on standard input, one JSON event a line on standard output; never used by hand.

Demonstrations come and stay in memory. Errors say their kind and nothing of their text, which could quote one.
"""

from __future__ import annotations

import json
import sys

from attestations.errors import TrainingFailed
from lab_server.shut_in import shut_in
from lab_server.trainer.wire import event_line, job_from_bytes


def main() -> None:
    """Run the job."""
    shut_in()
    job = job_from_bytes(sys.stdin.buffer.readline())
    try:
        from lab_server.trainer.lora import train  # noqa: PLC0415 - what it needs may not be installed

        for event in train(job):
            print(event_line(event), flush=True)
    except TrainingFailed as error:
        told = {"failed": error.facts["code"], "message": error.message}
    except ImportError:
        told = {"failed": "TRAINER_MISSING", "message": "the trainer needs what safeconduct[finetune] installs"}
    except OSError:
        told = {"failed": "NO_ROOM", "message": "the job's folder cannot be written"}
    except MemoryError:
        told = {"failed": "NO_ROOM", "message": "the machine has too little memory for the job"}
    except Exception as error:  # noqa: BLE001 - its text could hold a demonstration
        told = {"failed": "TRAINER_DIED", "message": f"the trainer failed: {type(error).__name__}"}
    else:
        return
    print(json.dumps(told), flush=True)
    sys.exit(1)


main()
