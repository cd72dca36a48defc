"""Ingest: from two archives to image stores, manifests and splits."""
