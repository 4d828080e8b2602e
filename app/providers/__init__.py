"""The providers, each behind the Protocols of `base` and `outreach`: the only package that speaks HTTP outwards.

Every call passes the funnel of `http` once; `answers` reads what came back.
"""
