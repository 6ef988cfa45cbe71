"""A laboratory of real parts: networks, a TLS proxy, a TURN server, browsers, a room with sound.

Every part is a context manager that leaves nothing behind. Debian's packages are named in
`require`'s message where one is missing.
"""
