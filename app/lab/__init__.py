"""The laboratory: the demo, the simulations and the benches, which drive the whole product against the sandbox."""
