"""Long work that outlives a page and a start of the program."""

from mlx_harmony.jobs.records import Job, JobFile, JobKind, JobState, Report, Runner
from mlx_harmony.jobs.running import Jobs

__all__ = ["Job", "JobFile", "JobKind", "JobState", "Jobs", "Report", "Runner"]
