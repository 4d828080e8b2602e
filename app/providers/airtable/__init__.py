"""Airtable: `table` reads and writes one table of one base, in the `words` Airtable has for columns and refusals."""
