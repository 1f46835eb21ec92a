"""What runs inside a box, with the standard library alone; every image carries it as `safeconduct_inside`.

Every box waits for two Python processes to start, so nothing here imports what takes long: no typing, enum, json,
socket, signal or contextlib (together 20 ms of 30), only what they are made of.
"""
