"""The console of a sweep: a line or two a job, whichever process runs it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from dae.runs.folder import owner_of
from dae.runs.process import sweep_log
from dae.runs.resume import ENDED
from dae.sweeps.jobs import Job, launch_time, modified_time, read_job, start_time
from dae.text import format_duration, format_figure, path_from_here, pluralize

POLL_SECONDS = 1.0


class JobLines:
    """Reports on the jobs of a sweep, in the process that launched it.

    A job of this process is reported when it begins and when it ends, a job of another process as soon as its
    result lies in the sweep's folder.

    Args:
        folder: The sweep's.
        count: How many jobs there are; 0 if that is not known.
        elsewhere: Whether other processes run the jobs.
    """

    def __init__(self, folder: Path, count: int, elsewhere: bool) -> None:
        self.folder, self.count = folder, count
        self.begun = 0
        self.reported: set[str] = set()
        self.started = time.perf_counter()
        self.closed = threading.Event()
        jobs = pluralize(count, "job") if count else "jobs"
        sweep_log.info("%s in %s, logged in <job>/train.log", jobs, path_from_here(folder))
        self.watcher = threading.Thread(target=self._watch, daemon=True) if elsewhere else None
        if self.watcher:
            self.watcher.start()

    def report_begin(self, job_folder: Path) -> None:
        """Report which job of how many begins, and about how long the rest takes."""
        left = ""
        if self.begun and self.begun < self.count:
            each = (time.perf_counter() - self.started) / self.begun
            left = f", about {format_duration(each * (self.count - self.begun))} left"
        self.begun += 1
        of_all = f" of {self.count}" if self.begun <= self.count else ""
        sweep_log.info("Job %d%s: %s%s", self.begun, of_all, job_folder.name, left)

    def report_end(self, job_folder: Path, failed: bool) -> None:
        """Report the result of a job of this process.

        Args:
            job_folder: The job's.
            failed: Whether it raised an error, perhaps without a result of its own.
        """
        self.reported.add(job_folder.name)
        job = self._ended(job_folder)
        if job is None and (owner := owner_of(job_folder)):
            sweep_log.info("  running elsewhere: %s", owner)
        elif job is None or (failed and not job.failed):
            sweep_log.info("  failed: see %s", path_from_here(job_folder / "train.log"))
        else:
            sweep_log.info("  %s", self._outcome(job))

    def close(self) -> None:
        """Report all jobs that have ended and were not reported yet."""
        self.closed.set()
        if self.watcher:
            self.watcher.join()
        self._report_new()

    def _watch(self) -> None:
        while not self.closed.wait(POLL_SECONDS):
            self._report_new()

    def _report_new(self) -> None:
        """Report the jobs that have ended since the last time."""
        folders = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        for folder in folders:
            job = self._ended(folder) if folder.name not in self.reported else None
            if job is not None:
                self.reported.add(folder.name)
                of_all = f" of {self.count}" if len(self.reported) <= self.count else ""
                sweep_log.info("%d%s: %s %s", len(self.reported), of_all, folder.name, self._outcome(job))

    def _ended(self, folder: Path) -> Job | None:
        """The job in ``folder`` if this sweep has started it and it has ended."""
        if not (folder / "result.json").is_file() or start_time(folder) < launch_time(self.folder):
            return None
        job = read_job(folder)
        # An older result that is not final belongs to a job that is about to go on.
        return job if job and (self._is_new(job) or job.status in ENDED) else None

    def _is_new(self, job: Job) -> bool:
        return modified_time(job.folder / "result.json") >= launch_time(self.folder)

    def _outcome(self, job: Job) -> str:
        took = format_duration(job.seconds)
        if job.failed or job.value is None or job.objective is None:
            return f"{job.status} after {took}{f': {job.error}' if job.error else ''}"
        if not self._is_new(job):
            return f"was {job.status} before: {job.objective.name} {format_figure(job.value)}"
        signs = ", with signs that little was learned" if job.signs else ""
        return f"{job.status}: {job.objective.name} {format_figure(job.value)}, {took}{signs}"
