"""The providers as local HTTP servers, with the quirks of the real ones and fault knobs.

They are shipped with the product: tests, `make demo` and users trying a mapping run against them.
"""
