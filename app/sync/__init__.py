"""The stages of a sync: short steps around the pure policy, each with its transactions. Knows Protocols, no vendors."""
