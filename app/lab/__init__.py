"""The lab: simulation, benchmarks and the in-process wiring of the sandboxes. Nothing in production imports it."""
