"""HTTP: routes, their shapes, who may call them, and how errors are worded. No SQL, no provider, no policy."""
