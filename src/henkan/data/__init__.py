"""Corpora: where they are, how they are read, filtered, stored, planned into updates and made into batches."""
