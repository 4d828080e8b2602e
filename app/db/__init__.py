"""Everything that speaks SQL, and the database it is spoken to."""
