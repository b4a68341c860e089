"""Henkan beside the toolkits that people would use instead; see README.md beside this file."""
