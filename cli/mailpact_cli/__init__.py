"""The command `mailpact`: the only package that imports all components."""
