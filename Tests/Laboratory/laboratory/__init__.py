"""A laboratory on loopback: AWS, instance metadata, Vault, and the faults between them, for tests, demo and benchmark.

Real parts wherever one can be had: moto's server is AWS and verifies signatures; an OpenBao server holds the tokens.
Stand-ins, each named so in its own file: the instance metadata service, the container credentials endpoint, and the
front door, which answers logins of Vault's aws auth method, for OpenBao does not ship that plugin.
"""
