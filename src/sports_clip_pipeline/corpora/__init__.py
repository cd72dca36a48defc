"""Corpora: archives that are not trusted, their listings, stores of images, duplicates, splits."""
