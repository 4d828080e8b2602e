"""Promises about the project itself: documents, rules, the command, the image."""
