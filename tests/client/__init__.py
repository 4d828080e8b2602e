"""A TypeScript client made from the document, compiled and used."""
