"""The process in which the members are: ``python -m tests.benchmarks.rooms.generator JOB``.

Started by the runner. It does one `Job` and writes one line of JSON, its figures. When its stdin
ends, so does it: it does not outlive the runner, however that one was ended.
"""

import gc
import importlib
import json
import os
import sys

from tests.benchmarks.peer import end_with_stdin
from tests.benchmarks.rooms.workload import Generate, Job


def main() -> None:
    """Do the job of the command line."""
    end_with_stdin()
    job = Job.from_json(sys.argv[1])
    if job.core is not None:
        os.sched_setaffinity(0, {job.core})
    task = importlib.import_module(f"tests.benchmarks.rooms.{job.task}")
    generate: Generate = task.generate
    gc.disable()  # nothing here is in cycles, and no pause is a server's
    try:
        figures = generate(job)
    except OSError as exc:
        figures = {"failure": f"{type(exc).__name__}: {exc}"}
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
