"""The handle of long nodes: progress, resumable state, live metrics."""

from sports_clip_pipeline.journal.disk import DiskJournal, FollowingJournal
from sports_clip_pipeline.journal.fingerprint import file_sha256, fingerprint
from sports_clip_pipeline.journal.journal import Journal, Tracker

__all__ = ["DiskJournal", "FollowingJournal", "Journal", "Tracker", "file_sha256", "fingerprint"]
