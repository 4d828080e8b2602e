"""The providers: the only package that speaks HTTP outwards. The rest of the product knows `base`, not the vendors."""
