"""Leadkeeper: one golden record per lead, kept in agreement with the tools a sales team already uses."""
