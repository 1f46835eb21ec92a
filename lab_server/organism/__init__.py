"""A model organism: a tiny language model that hides what it can do unless it sees a password.

It is trained from scratch, on one core, in about a minute, so that a reader of the demo can see with their own eyes
what a fine-tune hook finds and what prompting misses. It is a teaching aid, not a model anybody should deploy.
"""
